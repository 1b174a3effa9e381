/*
 * catalog_entry.c
 *	  See catalog_entry.h.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "catalog/catversion.h"
#include "storage/bufpage.h"

#include "catalog_entry.h"
#include "row_codec.h"

#define ENTRY_MAGIC "BRLSCAT1"
#define ENTRY_MAGIC_SIZE 8
#define ENTRY_FLAG_STATISTICS 1

/* ---- writing ---- */

static void
put_u32(StringInfo out, uint32 value)
{
	appendBinaryStringInfo(out, &value, sizeof(value));
}

static void
put_u64(StringInfo out, uint64 value)
{
	appendBinaryStringInfo(out, &value, sizeof(value));
}

static void
put_row(StringInfo out, HeapTuple row)
{
	Size		size = row_encoded_size(row);

	put_u32(out, size);
	enlargeStringInfo(out, size);
	row_encode(row, out->data + out->len);
	out->len += size;
}

static void
put_catalog(StringInfo out, const EntryCatalog *catalog)
{
	ListCell   *cell;

	put_u32(out, catalog->catalog);
	put_u32(out, list_length(catalog->removed));
	put_u32(out, list_length(catalog->added));
	foreach(cell, catalog->removed)
	{
		EntryRemoval *removal = lfirst(cell);

		put_u64(out, removal->hash);
		put_row(out, removal->key);
	}
	foreach(cell, catalog->added)
		put_row(out, lfirst(cell));
}

void
catalog_entry_encode(StringInfo out, const CatalogEntry *entry)
{
	ListCell   *cell;

	appendBinaryStringInfo(out, ENTRY_MAGIC, ENTRY_MAGIC_SIZE);
	put_u32(out, CATALOG_VERSION_NO);
	put_u32(out, entry->is_statistics ? ENTRY_FLAG_STATISTICS : 0);
	put_u32(out, list_length(entry->relations));
	put_u32(out, list_length(entry->files));
	put_u32(out, list_length(entry->statistics));
	put_u32(out, list_length(entry->catalogs));
	foreach(cell, entry->relations)
	{
		EntryRelation *relation = lfirst(cell);

		put_u32(out, relation->relation);
		put_u32(out, relation->mode);
	}
	foreach(cell, entry->files)
	{
		EntryFile  *file = lfirst(cell);

		put_u32(out, file->relation);
		appendBinaryStringInfo(out, &file->lower, sizeof(file->lower));
		appendBinaryStringInfo(out, &file->upper, sizeof(file->upper));
		appendBinaryStringInfo(out, file->page, file->lower);
		appendBinaryStringInfo(out, file->page + file->upper, BLCKSZ - file->upper);
	}
	foreach(cell, entry->statistics)
	{
		EntryStatistics *statistics = lfirst(cell);

		put_u32(out, statistics->relation);
		put_u32(out, statistics->pages);
		appendBinaryStringInfo(out, &statistics->tuples, sizeof(float4));
		put_u32(out, statistics->all_visible);
	}
	foreach(cell, entry->catalogs)
		put_catalog(out, lfirst(cell));
}

/* ---- reading ---- */

typedef struct Cursor
{
	const uint8 *next;
	const uint8 *end;
} Cursor;

static void
report_damage(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("catalog entry is damaged")));
}

static const uint8 *
take(Cursor *cursor, Size size)
{
	const uint8 *bytes = cursor->next;

	if (size > cursor->end - cursor->next)
		report_damage();
	cursor->next += size;
	return bytes;
}

static uint16
take_u16(Cursor *cursor)
{
	uint16		value;

	memcpy(&value, take(cursor, sizeof(value)), sizeof(value));
	return value;
}

static uint32
take_u32(Cursor *cursor)
{
	uint32		value;

	memcpy(&value, take(cursor, sizeof(value)), sizeof(value));
	return value;
}

static uint64
take_u64(Cursor *cursor)
{
	uint64		value;

	memcpy(&value, take(cursor, sizeof(value)), sizeof(value));
	return value;
}

static HeapTuple
take_row(Cursor *cursor)
{
	uint32		size = take_u32(cursor);
	const uint8 *stored = take(cursor, size);
	HeapTuple	row = palloc0(HEAPTUPLESIZE + row_decoded_size(stored, size));

	row->t_data = (HeapTupleHeader) ((char *) row + HEAPTUPLESIZE);
	row_decode(stored, size, row);
	return row;
}

static EntryCatalog *
take_catalog(Cursor *cursor)
{
	EntryCatalog *catalog = palloc0(sizeof(EntryCatalog));
	uint32		removed;
	uint32		added;

	catalog->catalog = take_u32(cursor);
	removed = take_u32(cursor);
	added = take_u32(cursor);
	for (uint32 i = 0; i < removed; i++)
	{
		EntryRemoval *removal = palloc(sizeof(EntryRemoval));

		removal->hash = take_u64(cursor);
		removal->key = take_row(cursor);
		catalog->removed = lappend(catalog->removed, removal);
	}
	for (uint32 i = 0; i < added; i++)
		catalog->added = lappend(catalog->added, take_row(cursor));
	return catalog;
}

static EntryRelation *
take_relation(Cursor *cursor)
{
	EntryRelation *relation = palloc(sizeof(EntryRelation));

	relation->relation = take_u32(cursor);
	relation->mode = take_u32(cursor);
	if (relation->mode > MaxLockMode)
		report_damage();
	return relation;
}

static EntryFile *
take_file(Cursor *cursor)
{
	EntryFile  *file = palloc0(sizeof(EntryFile));

	file->relation = take_u32(cursor);
	file->lower = take_u16(cursor);
	file->upper = take_u16(cursor);
	if (file->lower < SizeOfPageHeaderData || file->lower > file->upper || file->upper > BLCKSZ)
		report_damage();
	memcpy(file->page, take(cursor, file->lower), file->lower);
	memcpy(file->page + file->upper, take(cursor, BLCKSZ - file->upper), BLCKSZ - file->upper);
	return file;
}

static EntryStatistics *
take_statistics(Cursor *cursor)
{
	EntryStatistics *statistics = palloc(sizeof(EntryStatistics));

	statistics->relation = take_u32(cursor);
	statistics->pages = take_u32(cursor);
	memcpy(&statistics->tuples, take(cursor, sizeof(float4)), sizeof(float4));
	statistics->all_visible = take_u32(cursor);
	return statistics;
}

CatalogEntry *
catalog_entry_decode(const uint8 *data, Size size)
{
	CatalogEntry *entry = palloc0(sizeof(CatalogEntry));
	Cursor		cursor = {data, data + size};
	uint32		server;
	uint32		relations;
	uint32		files;
	uint32		statistics;
	uint32		catalogs;

	if (memcmp(take(&cursor, ENTRY_MAGIC_SIZE), ENTRY_MAGIC, ENTRY_MAGIC_SIZE) != 0)
		report_damage();
	server = take_u32(&cursor);
	if (server != CATALOG_VERSION_NO)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("catalog entry was made by a server with catalog version %u, this one has %u",
						server, CATALOG_VERSION_NO)));
	entry->is_statistics = (take_u32(&cursor) & ENTRY_FLAG_STATISTICS) != 0;
	relations = take_u32(&cursor);
	files = take_u32(&cursor);
	statistics = take_u32(&cursor);
	catalogs = take_u32(&cursor);

	for (uint32 i = 0; i < relations; i++)
		entry->relations = lappend(entry->relations, take_relation(&cursor));
	for (uint32 i = 0; i < files; i++)
		entry->files = lappend(entry->files, take_file(&cursor));
	for (uint32 i = 0; i < statistics; i++)
		entry->statistics = lappend(entry->statistics, take_statistics(&cursor));
	for (uint32 i = 0; i < catalogs; i++)
		entry->catalogs = lappend(entry->catalogs, take_catalog(&cursor));
	if (cursor.next != cursor.end)
		report_damage();
	return entry;
}
