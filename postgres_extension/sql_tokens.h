/*
 * sql_tokens.h
 *	  SQL text, token by token, as the server's scanner divides it: enough to
 *	  know where statements begin and to read simple ones.
 */
#ifndef BOREALIS_SQL_TOKENS_H
#define BOREALIS_SQL_TOKENS_H

#include "borealis.h"

typedef enum SqlTokenKind
{
	TOKEN_END,
	TOKEN_WORD,					/* key word or identifier without quotes */
	TOKEN_QUOTED_WORD,			/* "identifier" */
	TOKEN_STRING,				/* 'string' without backslashes that mean something */
	TOKEN_LEFT_PARENTHESIS,
	TOKEN_RIGHT_PARENTHESIS,
	TOKEN_SEMICOLON,
	TOKEN_OTHER
} SqlTokenKind;

typedef struct SqlToken
{
	SqlTokenKind kind;
	const char *start;
	const char *end;
} SqlToken;

/* Text that is still to be read. */
typedef struct SqlText
{
	const char *next;
	const char *end;
} SqlText;

/* Comments and white space are skipped; at the end TOKEN_END again and again. */
extern SqlToken sql_next_token(SqlText *text);

/* Is it this key word (in lower case)? */
extern bool sql_token_is(const SqlToken *token, const char *word);
/* The name that a word or quoted word stands for, palloc'd. */
extern char *sql_token_name(const SqlToken *token);
/* What a string stands for, palloc'd. */
extern char *sql_token_string(const SqlToken *token);

#endif							/* BOREALIS_SQL_TOKENS_H */
