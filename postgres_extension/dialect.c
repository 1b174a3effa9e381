/*
 * dialect.c
 *	  See dialect.h.
 *
 * There is no hook before the grammar.  But the server verifies the encoding of a
 * client's text when it arrives, and the scanner looks each word up in the list of
 * key words, whose hash function can be replaced.  The first gives the place where
 * one of our statements begins, the second the moment at which the scanner has
 * got there; what follows in its copy of the text can still be changed.
 *
 * A text that the server has converted from another encoding is not verified any
 * more.  Then the first of its key words stands for both.
 *
 * That a text is a query, and not a name or a parameter, is known by
 * debug_query_string: it is this very string.  That it is our place and not the
 * same word elsewhere is known by all that follows, to the end of the text.
 */
#include "borealis.h"

#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "nodes/value.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "dialect.h"
#include "pg_patches.h"
#include "sql_tokens.h"

/* "AWS" becomes "DO", and what follows an empty body. */
#define CARRIER "do"
#define CARRIER_BODY "''"

/* A statement of ours in a text. */
typedef struct Occurrence
{
	DialectKind kind;			/* DIALECT_NONE: there is none */
	SqlToken	word;			/* AWS, INDEX or TABLE */
	SqlToken	removed;		/* the first token that the scanner must not see */
	const char *end;			/* of the statement */
} Occurrence;

/* The next one of the text that has arrived last. */
static const char *arrived = NULL;
static const char *arrived_end;
static Occurrence next_occurrence;

static ScanKeywordHashFunc original_hash;

/* Of the client's message under way: has its query been announced? */
static bool is_scanned = false;
static MemoryContextCallback message_over;
static void (*announce_query) (const char *text);

/* ---- recognising ---- */

/*
 * Behind ALTER TABLE ASYNC: does the name of a table follow, and a validation?  If
 * not, the table is named so.
 */
static bool
validates_constraint(SqlText text)
{
	SqlToken	token = sql_next_token(&text);

	if (sql_token_is(&token, "if"))
	{
		(void) sql_next_token(&text);	/* EXISTS */
		token = sql_next_token(&text);
	}
	if (sql_token_is(&token, "only"))
		token = sql_next_token(&text);
	if (token.kind != TOKEN_WORD && token.kind != TOKEN_QUOTED_WORD)
		return false;
	token = sql_next_token(&text);
	while (token.kind == TOKEN_OTHER && *token.start == '.')
	{
		(void) sql_next_token(&text);	/* a name */
		token = sql_next_token(&text);
	}
	return sql_token_is(&token, "validate");
}

/* The statement that begins here, if it is one of ours (its end is not set). */
static void
recognise(SqlText text, Occurrence *occurrence)
{
	SqlToken	first = sql_next_token(&text);
	SqlToken	second = sql_next_token(&text);
	SqlToken	third = sql_next_token(&text);

	occurrence->kind = DIALECT_NONE;
	if (sql_token_is(&first, "aws") && sql_token_is(&second, "iam"))
	{
		occurrence->kind = sql_token_is(&third, "revoke") ? DIALECT_IAM_REVOKE : DIALECT_IAM_GRANT;
		occurrence->word = first;
		occurrence->removed = second;
		return;
	}
	if (sql_token_is(&first, "alter") && sql_token_is(&second, "table") &&
		sql_token_is(&third, "async") && validates_constraint(text))
	{
		occurrence->kind = DIALECT_ASYNC_JOB;
		occurrence->word = second;
		occurrence->removed = third;
	}
	if (!sql_token_is(&first, "create"))
		return;
	if (sql_token_is(&second, "unique"))
	{
		second = third;
		third = sql_next_token(&text);
	}
	if (sql_token_is(&second, "index") && sql_token_is(&third, "async"))
	{
		occurrence->kind = DIALECT_ASYNC_JOB;
		occurrence->word = second;
		occurrence->removed = third;
	}
}

/* Moves behind the semicolon of the statement that begins here; returns where it ends. */
static const char *
skip_statement(SqlText *text)
{
	int			depth = 0;

	for (;;)
	{
		SqlToken	token = sql_next_token(text);

		switch (token.kind)
		{
			case TOKEN_LEFT_PARENTHESIS:
				depth++;
				break;
			case TOKEN_RIGHT_PARENTHESIS:
				depth--;
				break;
			case TOKEN_SEMICOLON:
				/* within parentheses: CREATE RULE ... DO (a; b) */
				if (depth <= 0)
					return token.start;
				break;
			case TOKEN_END:
				return token.start;
			default:
				break;
		}
	}
}

static void
find_next(const char *from)
{
	SqlText		text = {from, arrived_end};

	while (text.next < text.end)
	{
		recognise(text, &next_occurrence);
		next_occurrence.end = skip_statement(&text);
		if (next_occurrence.kind != DIALECT_NONE)
			return;
	}
	arrived = NULL;
}

/* Cheap: most texts have neither word anywhere. */
static bool
may_have_one(const char *text, const char *end)
{
	for (; end - text >= 3; text++)
	{
		if ((*text | 0x20) != 'a')
			continue;
		if ((text[1] | 0x20) == 'w' ? (text[2] | 0x20) == 's' :
			(text[1] | 0x20) == 's' && (text[2] | 0x20) == 'y')
			return true;
	}
	return false;
}

static void
look_for_ours(const char *text, int size)
{
	if (!may_have_one(text, text + size))
		return;
	arrived = text;
	arrived_end = text + size;
	find_next(text);
}

void
dialect_text_arrives(const char *text, int size)
{
	arrived = NULL;
	/* A parameter of a query that is known. */
	if (debug_query_string == NULL)
		look_for_ours(text, size);
}

void
dialect_query_is_scanned(const char *text)
{
	arrived = NULL;
	look_for_ours(text, strlen(text));
}

/* ---- leading the scanner ---- */

/*
 * In the scanner's copy: blanks, or the empty body, from behind the word on.  A
 * comment that follows it at once has begun already and must end.
 */
static void
write_carrier(char *word)
{
	const char *start = next_occurrence.word.start;
	char		behind = *next_occurrence.word.end;
	bool		has_comment = behind == '-' || behind == '/';
	Size		size = next_occurrence.end - start;
	Size		from = (has_comment ? next_occurrence.removed.start : next_occurrence.word.end + 1) - start;

	memset(word + from, ' ', size - from);
	memcpy(word + from, CARRIER_BODY, strlen(CARRIER_BODY));
	strcpy(word, CARRIER);
}

static void
remove_token(char *word)
{
	memset(word + (next_occurrence.removed.start - next_occurrence.word.start), ' ',
		   next_occurrence.removed.end - next_occurrence.removed.start);
}

/*
 * Is this the scanner, at the word of the query?  The scanner has put a zero behind
 * the word in its copy of the text, in the place of a character that comes back
 * later.
 */
static bool
is_at(const SqlToken *word, const char *key, size_t size)
{
	return size == word->end - word->start &&
		memcmp(key, word->start, size) == 0 &&
		(*word->end == '\0' || strcmp(key + size + 1, word->end + 1) == 0);
}

static bool
is_there(const char *key, size_t size)
{
	return debug_query_string == arrived && is_at(&next_occurrence.word, key, size);
}

static void
forget_message(void *unused)
{
	is_scanned = false;
}

/* Does the server convert what the client sends? */
static bool
is_converted(void)
{
	int			encoding = pg_get_client_encoding();

	return encoding != PG_UTF8 && encoding != PG_SQL_ASCII;
}

/* The first word that the scanner looks up is the first one of the query. */
static void
note_scanning(const char *key, size_t size)
{
	SqlText		text = {debug_query_string, debug_query_string + strlen(debug_query_string)};
	SqlToken	token;

	do
		token = sql_next_token(&text);
	while (token.kind != TOKEN_WORD && token.kind != TOKEN_END);
	if (token.kind == TOKEN_END || !is_at(&token, key, size))
		return;					/* of a function's body */
	is_scanned = true;
	message_over.func = forget_message;
	MemoryContextRegisterResetCallback(MessageContext, &message_over);
	announce_query(debug_query_string);
}

static int
hash_keyword(const void *key, size_t size)
{
	if (!is_scanned && unlikely(is_converted()) && debug_query_string != NULL && MessageContext != NULL)
		note_scanning(key, size);
	if (unlikely(arrived != NULL) && is_there(key, size))
	{
		if (next_occurrence.kind == DIALECT_ASYNC_JOB)
			remove_token((char *) key);
		else
		{
			write_carrier((char *) key);
			size = strlen(CARRIER);
		}
		find_next(next_occurrence.end);
	}
	return original_hash(key, size);
}

/* ---- what a parsed statement is ---- */

static bool
is_carrier(const DoStmt *statement)
{
	const DefElem *body = list_length(statement->args) == 1 ? linitial(statement->args) : NULL;

	return body != NULL && strcmp(body->defname, "as") == 0 && strVal(body->arg)[0] == '\0';
}

DialectKind
dialect_kind(const Node *statement, const char *source, int location)
{
	SqlText		text;
	Occurrence	occurrence;

	bool		may_be_job = IsA(statement, IndexStmt) || IsA(statement, AlterTableStmt);

	if (source == NULL || !(may_be_job || (IsA(statement, DoStmt) && is_carrier((const DoStmt *) statement))))
		return DIALECT_NONE;
	text.next = source + Max(location, 0);
	text.end = text.next + strlen(text.next);
	recognise(text, &occurrence);
	if (may_be_job != (occurrence.kind == DIALECT_ASYNC_JOB))
		return DIALECT_NONE;
	return occurrence.kind;
}

static void pg_attribute_noreturn()
report_syntax_error(const SqlToken *token, const char *source)
{
	int			position = pg_mbstrlen_with_len(source, token->start - source) + 1;

	if (token->kind == TOKEN_END || token->kind == TOKEN_SEMICOLON)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("syntax error at end of input"),
				 errhint("The statements are AWS IAM GRANT role TO 'arn' and AWS IAM REVOKE role FROM 'arn'."),
				 errposition(position)));
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("syntax error at or near \"%.*s\"", (int) (token->end - token->start), token->start),
			 errhint("The statements are AWS IAM GRANT role TO 'arn' and AWS IAM REVOKE role FROM 'arn'."),
			 errposition(position)));
}

IamStatement *
dialect_read_iam(const char *source, int location, int size)
{
	IamStatement *statement = palloc(sizeof(IamStatement));
	SqlText		text;
	SqlToken	token;

	text.next = source + Max(location, 0);
	text.end = text.next + (size > 0 ? size : strlen(text.next));
	(void) sql_next_token(&text);	/* AWS */
	(void) sql_next_token(&text);	/* IAM */
	token = sql_next_token(&text);
	statement->is_grant = sql_token_is(&token, "grant");
	if (!statement->is_grant && !sql_token_is(&token, "revoke"))
		report_syntax_error(&token, source);
	token = sql_next_token(&text);
	if (token.kind != TOKEN_WORD && token.kind != TOKEN_QUOTED_WORD)
		report_syntax_error(&token, source);
	statement->role = sql_token_name(&token);
	token = sql_next_token(&text);
	if (!sql_token_is(&token, statement->is_grant ? "to" : "from"))
		report_syntax_error(&token, source);
	token = sql_next_token(&text);
	if (token.kind != TOKEN_STRING)
		report_syntax_error(&token, source);
	statement->arn = sql_token_string(&token);
	token = sql_next_token(&text);
	if (token.kind != TOKEN_END)
		report_syntax_error(&token, source);
	return statement;
}

void
dialect_init(void (*query_is_scanned) (const char *text))
{
	announce_query = query_is_scanned;
	pg_patch_keyword_hash(hash_keyword, &original_hash);
}
