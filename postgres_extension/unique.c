/*
 * unique.c
 *	  See unique.h.  Within the transaction uniqueness is checked here; between
 *	  transactions the adjudicator does, because both write the same row key
 *	  (primary keys) or hold an exclusive lock on the same unique value.
 */
#include "borealis.h"

#include "access/genam.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "committed_gap.h"
#include "layout.h"
#include "merge_scan.h"
#include "unique.h"

void
unique_report_violation(Relation table, Relation index,
						const Datum *values, const bool *isnull)
{
	char	   *description = BuildIndexValueDescription(index, unconstify(Datum *, values),
												 unconstify(bool *, isnull));

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"",
					RelationGetRelationName(index)),
			 description ? errdetail("Key %s already exists.", description) : 0,
			 errtableconstraint(table, RelationGetRelationName(index))));
}

void
unique_report_build_violation(Relation table, Relation index,
							  const Datum *values, const bool *isnull)
{
	char	   *description = BuildIndexValueDescription(index, unconstify(Datum *, values),
												 unconstify(bool *, isnull));

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("could not create unique index \"%s\"", RelationGetRelationName(index)),
			 description ? errdetail("Key %s is duplicated.", description) :
			 errdetail("Duplicate keys exist."),
			 errtableconstraint(table, RelationGetRelationName(index))));
}

static bool
is_taken(Relation table, const WriteVersion *own, const uint8 *key, uint32 key_size)
{
	if (own != NULL)
		return own->value_size > 0;
	return relation_has_committed(table) &&
		committed_key_exists(key, key_size);
}

bool
row_key_is_taken(Relation table, const uint8 *key, uint32 key_size)
{
	WriteEntry *entry = write_set_find(key, key_size);

	return is_taken(table, entry ? entry->newest : NULL, key, key_size);
}

bool
row_key_was_taken(Relation table, const WriteVersion *version)
{
	return is_taken(table, version->older, write_entry_key(version->entry),
					version->entry->key_size);
}

bool
unique_entry_is_taken(Relation index, const StringInfoData *key, uint32 tail)
{
	static MergeScan scan;
	static StringInfoData upper;

	if (scan.batch.context == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		merge_scan_init(&scan, TopMemoryContext);
		initStringInfo(&upper);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&upper);
	appendBinaryStringInfoNT(&upper, key->data, tail);
	key_make_successor(&upper);

	merge_scan_start(&scan, (uint8 *) key->data, tail, (uint8 *) upper.data, upper.len,
					 false, relation_has_committed(index), RANGE_KEYS, InvalidCommandId, 2);
	while (merge_scan_next(&scan))
	{
		if (scan.key_size != key->len || memcmp(scan.key, key->data, key->len) != 0)
			return true;
	}
	return false;
}
