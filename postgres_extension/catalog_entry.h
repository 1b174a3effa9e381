/*
 * catalog_entry.h
 *	  One step from a catalog version to the next, as other instances repeat it
 *	  (docs/formats.md, "Catalog entry").
 */
#ifndef BOREALIS_CATALOG_ENTRY_H
#define BOREALIS_CATALOG_ENTRY_H

#include "borealis.h"

#include "access/htup.h"
#include "catalog_changes.h"
#include "lib/stringinfo.h"
#include "storage/lockdefs.h"

/* A relation whose cached description is outdated. */
typedef struct EntryRelation
{
	Oid			relation;		/* InvalidOid: all relations */
	LOCKMODE	mode;			/* NoLock, or what statements that use it must not coexist with */
} EntryRelation;

/*
 * The one page of a new local file: a sequence's tuple, or what the access method
 * has noted of an index.  The bytes between lower and upper are zero.
 */
typedef struct EntryFile
{
	Oid			relation;
	uint16		lower;
	uint16		upper;
	char		page[BLCKSZ];
} EntryFile;

/* What the planner knows of a relation's size. */
typedef struct EntryStatistics
{
	Oid			relation;
	uint32		pages;
	float4		tuples;
	uint32		all_visible;
} EntryStatistics;

/* A row that must go; its key says which, its hash what it must look like. */
typedef struct EntryRemoval
{
	uint64		hash;
	HeapTuple	key;
} EntryRemoval;

typedef struct EntryCatalog
{
	Oid			catalog;
	List	   *removed;		/* EntryRemoval */
	List	   *added;			/* HeapTuple */
} EntryCatalog;

typedef struct CatalogEntry
{
	bool		is_statistics;	/* does not invalidate running transactions */
	List	   *relations;		/* EntryRelation */
	List	   *files;			/* EntryFile */
	List	   *statistics;		/* EntryStatistics */
	List	   *catalogs;		/* EntryCatalog */
} CatalogEntry;

extern void catalog_entry_encode(StringInfo out, const CatalogEntry *entry);
/* Into the current memory context.  ERROR XX001 if the bytes break a rule. */
extern CatalogEntry *catalog_entry_decode(const uint8 *data, Size size);

#endif							/* BOREALIS_CATALOG_ENTRY_H */
