/*
 * sql_tokens.c
 *	  See sql_tokens.h.
 *
 * What ends too early (an open quote, an open comment) reaches to the end of the
 * text; it is for the server's parser to complain.
 */
#include "borealis.h"

#include "parser/parser.h"
#include "parser/scansup.h"

#include "sql_tokens.h"

static bool
starts_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || IS_HIGHBIT_SET(c);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
continues_word(char c)
{
	return starts_word(c) || is_digit(c) || c == '$';
}

static bool
looks_at(const SqlText *text, const char *what)
{
	Size		size = strlen(what);

	return text->end - text->next >= size && memcmp(text->next, what, size) == 0;
}

static void
skip_block_comment(SqlText *text)
{
	int			depth = 0;

	do
	{
		if (looks_at(text, "/*"))
		{
			depth++;
			text->next += 2;
		}
		else if (looks_at(text, "*/"))
		{
			depth--;
			text->next += 2;
		}
		else
			text->next++;
	} while (depth > 0 && text->next < text->end);
}

static void
skip_blanks(SqlText *text)
{
	while (text->next < text->end)
	{
		if (scanner_isspace(*text->next) || *text->next == '\v')
			text->next++;
		else if (looks_at(text, "--"))
		{
			while (text->next < text->end && *text->next != '\n' && *text->next != '\r')
				text->next++;
		}
		else if (looks_at(text, "/*"))
			skip_block_comment(text);
		else
			return;
	}
}

/* From the opening quote on, to behind the closing one.  Two quotes are one. */
static void
skip_quoted(SqlText *text, char quote, bool has_backslashes)
{
	text->next++;
	while (text->next < text->end)
	{
		char		c = *text->next++;

		if (c == '\\' && has_backslashes && text->next < text->end)
			text->next++;
		else if (c == quote)
		{
			if (text->next == text->end || *text->next != quote)
				return;
			text->next++;
		}
	}
}

/* $tag$ ... $tag$; a lone dollar sign is a token of its own. */
static void
skip_dollar_quoted(SqlText *text)
{
	const char *start = text->next;
	const char *tag_end = start + 1;
	Size		delimiter_size;

	if (tag_end < text->end && starts_word(*tag_end))
	{
		while (tag_end < text->end && continues_word(*tag_end) && *tag_end != '$')
			tag_end++;
	}
	if (tag_end == text->end || *tag_end != '$')
	{
		text->next++;
		return;
	}
	delimiter_size = tag_end + 1 - start;
	for (text->next = tag_end + 1; text->next < text->end; text->next++)
	{
		if (text->end - text->next >= delimiter_size &&
			memcmp(text->next, start, delimiter_size) == 0)
		{
			text->next += delimiter_size;
			return;
		}
	}
}

/* A word, or a quoted thing that begins with letters: E'...', U&"...", X'...' */
static SqlTokenKind
read_word(SqlText *text)
{
	const char *start = text->next;
	Size		size;

	while (text->next < text->end && continues_word(*text->next))
		text->next++;
	size = text->next - start;
	if (text->next == text->end || size != 1)
		return TOKEN_WORD;
	if (*text->next == '\'' && strchr("bBeEnNxX", *start) != NULL)
	{
		skip_quoted(text, '\'', strchr("eE", *start) != NULL ||
					(strchr("nN", *start) != NULL && !standard_conforming_strings));
		return TOKEN_OTHER;
	}
	if (strchr("uU", *start) != NULL && (looks_at(text, "&'") || looks_at(text, "&\"")))
	{
		text->next++;
		skip_quoted(text, *text->next, false);
		return TOKEN_OTHER;
	}
	return TOKEN_WORD;
}

static SqlTokenKind
read_token(SqlText *text)
{
	const char *start = text->next;
	char		c = *start;

	if (starts_word(c))
		return read_word(text);
	if (is_digit(c))
	{
		while (text->next < text->end && (continues_word(*text->next) || *text->next == '.'))
			text->next++;
		return TOKEN_OTHER;
	}
	switch (c)
	{
		case '\'':
			skip_quoted(text, c, !standard_conforming_strings);
			return standard_conforming_strings || memchr(start, '\\', text->next - start) == NULL ?
				TOKEN_STRING : TOKEN_OTHER;
		case '"':
			skip_quoted(text, c, false);
			return TOKEN_QUOTED_WORD;
		case '$':
			skip_dollar_quoted(text);
			return TOKEN_OTHER;
		default:
			text->next++;
			return c == '(' ? TOKEN_LEFT_PARENTHESIS : c == ')' ? TOKEN_RIGHT_PARENTHESIS :
				c == ';' ? TOKEN_SEMICOLON : TOKEN_OTHER;
	}
}

SqlToken
sql_next_token(SqlText *text)
{
	SqlToken	token;

	skip_blanks(text);
	token.start = text->next;
	token.kind = text->next < text->end ? read_token(text) : TOKEN_END;
	token.end = text->next;
	return token;
}

bool
sql_token_is(const SqlToken *token, const char *word)
{
	Size		size = strlen(word);

	return token->kind == TOKEN_WORD && token->end - token->start == size &&
		pg_strncasecmp(token->start, word, size) == 0;
}

/* Without the quotes around it, and with one in the place of two. */
static char *
unquote(const SqlToken *token)
{
	char		quote = *token->start;
	char	   *result = palloc(token->end - token->start);
	char	   *next = result;

	for (const char *c = token->start + 1; c < token->end - 1; c++)
	{
		*next++ = *c;
		if (*c == quote)
			c++;
	}
	*next = '\0';
	return result;
}

char *
sql_token_name(const SqlToken *token)
{
	char	   *name;

	if (token->kind == TOKEN_WORD)
		return downcase_truncate_identifier(token->start, token->end - token->start, false);
	name = unquote(token);
	truncate_identifier(name, strlen(name), false);
	return name;
}

char *
sql_token_string(const SqlToken *token)
{
	return unquote(token);
}
