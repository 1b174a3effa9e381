/*
 * dialect.h
 *	  Statements of Aurora DSQL that are not in PostgreSQL's grammar:
 *
 *	  AWS IAM GRANT role TO 'arn'
 *	  AWS IAM REVOKE role FROM 'arn'
 *	  CREATE [UNIQUE] INDEX ASYNC ...
 *	  ALTER TABLE ASYNC table VALIDATE CONSTRAINT ...
 *
 * The scanner is led past what the grammar does not know, and sees in its place,
 * byte for byte, something that it does: a DO statement without a body, or
 * the statement without the word ASYNC.  The statement's text stays as it was, in logs, in
 * pg_stat_activity and for the positions of errors; and as the text says what is
 * really meant, nothing else that was typed can be taken for it.
 *
 * Only what a client sends is looked at, in whatever encoding; not the texts that
 * functions execute.
 */
#ifndef BOREALIS_DIALECT_H
#define BOREALIS_DIALECT_H

#include "borealis.h"

#include "nodes/parsenodes.h"

typedef enum DialectKind
{
	DIALECT_NONE,
	DIALECT_IAM_GRANT,
	DIALECT_IAM_REVOKE,
	DIALECT_ASYNC_JOB
} DialectKind;

/* What AWS IAM says; palloc'd. */
typedef struct IamStatement
{
	bool		is_grant;
	char	   *role;
	char	   *arn;
} IamStatement;

/*
 * From _PG_init.  A text in an encoding that the server converts passes no
 * verifier; of such a query the callback is told when the scanner gets to its first
 * word, in the command's transaction and before anything has been looked up.
 */
extern void dialect_init(void (*query_is_scanned) (const char *text));

/* A client's text has been read, perhaps a query. */
extern void dialect_text_arrives(const char *text, int size);
/* The same of debug_query_string, whose scanning has begun. */
extern void dialect_query_is_scanned(const char *text);

/* What the statement really is, by the part of the source that it was parsed from. */
extern DialectKind dialect_kind(const Node *statement, const char *source, int location);
/* Of a statement of AWS IAM.  ERROR 42601 if it is not complete. */
extern IamStatement *dialect_read_iam(const char *source, int location, int size);

#endif							/* BOREALIS_DIALECT_H */
