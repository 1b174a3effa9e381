/*
 * borealis.h
 *	  Names that every file of the extension shares: key namespaces, limits,
 *	  settings.  The byte layouts are specified in docs/formats.md.
 */
#ifndef BOREALIS_H
#define BOREALIS_H

#include "postgres.h"

#include "utils/relcache.h"

/* First byte of a key. */
#define KEY_NAMESPACE_ROW		0x10
#define KEY_NAMESPACE_INDEX		0x20
#define KEY_NAMESPACE_CATALOG	0x30
#define KEY_NAMESPACE_STATISTICS 0x40

/* namespace byte and relfilenode */
#define KEY_PREFIX_SIZE			5
/* longest key, without the commit timestamp that storage appends */
#define KEY_SIZE_MAX			1962

/* Access methods: of tables, and of temporary ones. */
#define TABLE_ACCESS_METHOD		"borealis"
#define LOCAL_ACCESS_METHOD		"heap"

/* A read or commit timestamp: nanoseconds since the Unix epoch, 0 is none. */
typedef uint64 BorealisTimestamp;

/* Settings, defined in extension.c. */
extern char *borealis_run_directory;
extern char *borealis_map_directory;
extern int	borealis_instance;
extern int	borealis_transaction_age_limit_s;
extern int	borealis_commit_timeout_s;

/* True when the relation's rows live in Borealis (its table AM is ours). */
extern bool relation_is_borealis(Relation relation);
extern bool table_is_borealis(Oid table);
/* The same for an index: it indexes a Borealis table. */
extern bool index_is_borealis(Relation index);

#endif							/* BOREALIS_H */
