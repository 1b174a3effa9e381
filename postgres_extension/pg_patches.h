/*
 * pg_patches.h
 *	  Every place where a constant table of this exact server is rewritten.
 */
#ifndef BOREALIS_PG_PATCHES_H
#define BOREALIS_PG_PATCHES_H

#include "postgres.h"

#include "common/kwlookup.h"
#include "fmgr.h"

/* ERROR unless the server is the one that the extension was written for. */
extern void pg_patches_check_server(void);

/*
 * Replaces a built-in function, by its OID, in this process and the children
 * it forks: call it from shared_preload_libraries.  *original gets the
 * replaced function.
 */
extern void pg_patch_builtin(Oid function, PGFunction replacement, PGFunction *original);

/*
 * The verifier of UTF-8 strings, which sees every text that a client sends
 * before the command's transaction starts.
 */
typedef int (*Utf8Verifier) (const unsigned char *string, int size);
extern void pg_patch_utf8_verifier(Utf8Verifier replacement, Utf8Verifier *original);

/* The hash function of SQL's key words, which is asked for each word of a statement. */
extern void pg_patch_keyword_hash(ScanKeywordHashFunc replacement, ScanKeywordHashFunc *original);

#endif							/* BOREALIS_PG_PATCHES_H */
