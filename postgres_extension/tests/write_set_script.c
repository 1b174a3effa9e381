/*
 * write_set_script.c
 *	  Runs a script of write set operations and returns what each answered, so
 *	  that a test can compare with its own model in one round trip.
 *
 * One operation per line, its operands separated by blanks; keys in
 * hexadecimal.  Answers come one per line.
 */
#include "postgres.h"

#include "access/transam.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "../write_set.h"

PG_FUNCTION_INFO_V1(units_write_set_run);

#define OPERANDS_MAX 5

typedef struct ScriptLine
{
	char	   *operands[OPERANDS_MAX];
	int			count;
} ScriptLine;

/* Subtransactions in progress, from the outermost. */
static SubTransactionId subtransactions[1024];
static int	depth;
static SubTransactionId subtransaction_last;

static ScriptLine
split_line(char *line)
{
	ScriptLine	result = {.count = 0};
	char	   *rest;

	for (char *operand = strtok_r(line, " ", &rest); operand != NULL;
		 operand = strtok_r(NULL, " ", &rest))
	{
		if (result.count == OPERANDS_MAX)
			elog(ERROR, "too many operands");
		result.operands[result.count++] = operand;
	}
	return result;
}

static uint64
number_operand(const ScriptLine *line, int index)
{
	if (index >= line->count)
		elog(ERROR, "operand %d is missing", index);
	return strtou64(line->operands[index], NULL, 10);
}

static const uint8 *
key_operand(const ScriptLine *line, int index, uint32 *size)
{
	Size		digits;
	uint8	   *key;

	if (index >= line->count)
		elog(ERROR, "operand %d is missing", index);
	digits = strlen(line->operands[index]);
	key = palloc(digits / 2 + 1);
	*size = (uint32) hex_decode(line->operands[index], digits, (char *) key);
	return key;
}

static void
append_bytes(StringInfo out, const uint8 *bytes, Size size)
{
	for (Size i = 0; i < size; i++)
		appendStringInfo(out, "%02x", bytes[i]);
}

static void
append_entry(StringInfo out, const WriteEntry *entry)
{
	if (entry == NULL)
		appendStringInfoChar(out, '-');
	else
		append_bytes(out, write_entry_key(entry), entry->key_size);
}

static void
append_version(StringInfo out, const WriteVersion *version)
{
	if (version == NULL)
	{
		appendStringInfoChar(out, '-');
		return;
	}
	for (uint32 i = 0; i < version->value_size; i++)
		if (version->value[i] != (uint8) version->number)
			elog(ERROR, "the value of version " UINT64_FORMAT " has changed", version->number);
	appendStringInfo(out, UINT64_FORMAT " %u %u %u %u ", version->number, version->operation,
					 version->cid, version->cmax, version->value_size);
	append_entry(out, version->entry);
}

static void
run_put(const ScriptLine *line, StringInfo out)
{
	uint32		key_size;
	const uint8 *key = key_operand(line, 1, &key_size);
	WriteVersion *version;

	version = write_set_reserve(key, key_size, (WriteOperation) number_operand(line, 2),
								(CommandId) number_operand(line, 3), InvalidTransactionId,
								(uint32) number_operand(line, 4));
	memset(version->value, (uint8) version->number, version->value_size);
	/* Any known old size will do. */
	version->replaced_size = version->operation == WRITE_INSERT ? 0 : 10;
	appendStringInfo(out, UINT64_FORMAT, version->number);
}

static void
run_record(StringInfo out)
{
	StringInfoData record;
	WriteSetCounts counts;

	initStringInfo(&record);
	write_set_serialize(&record, "ddl", 3, &counts);
	appendStringInfo(out, "%u %u %u %u ", counts.writes, counts.locks, counts.dropped, counts.deltas);
	append_bytes(out, (uint8 *) record.data, record.len);
	pfree(record.data);
}

static void
run_subtransaction(const char *verb, StringInfo out)
{
	if (strcmp(verb, "start") == 0)
	{
		if (depth == lengthof(subtransactions))
			elog(ERROR, "too many subtransactions");
		subtransactions[depth++] = ++subtransaction_last;
		write_set_subtransaction_start(subtransaction_last);
		return;
	}
	if (depth == 0)
		elog(ERROR, "no subtransaction");
	depth--;
	if (strcmp(verb, "commit") == 0)
		write_set_subtransaction_commit(subtransactions[depth],
										depth > 0 ? subtransactions[depth - 1] : TopSubTransactionId);
	else
		write_set_subtransaction_abort(subtransactions[depth]);
}

static void
run_line(const ScriptLine *line, StringInfo out)
{
	const char *verb = line->operands[0];
	uint32		key_size;

	if (strcmp(verb, "put") == 0)
		run_put(line, out);
	else if (strcmp(verb, "lock") == 0)
	{
		const uint8 *key = key_operand(line, 1, &key_size);

		write_set_lock(key, key_size, (KeyLockMode) number_operand(line, 2));
	}
	else if (strcmp(verb, "start") == 0 || strcmp(verb, "commit") == 0 || strcmp(verb, "abort") == 0)
		run_subtransaction(verb, out);
	else if (strcmp(verb, "drop") == 0)
		write_set_drop_relfilenode((Oid) number_operand(line, 1));
	else if (strcmp(verb, "visible") == 0)
	{
		const uint8 *key = key_operand(line, 1, &key_size);
		WriteEntry *entry = write_set_find(key, key_size);

		append_version(out, entry == NULL ? NULL
					   : write_entry_visible(entry, (CommandId) number_operand(line, 2)));
	}
	else if (strcmp(verb, "version") == 0)
		append_version(out, write_set_version(number_operand(line, 1)));
	else if (strcmp(verb, "seek") == 0)
	{
		const uint8 *key = key_operand(line, 1, &key_size);

		append_entry(out, write_set_seek(key, key_size, number_operand(line, 2) != 0));
	}
	else if (strcmp(verb, "before") == 0)
	{
		const uint8 *key = key_operand(line, 1, &key_size);

		append_entry(out, write_set_seek_before(key, key_size, number_operand(line, 2) != 0));
	}
	else if (strcmp(verb, "scan") == 0)
		for (WriteEntry *entry = write_set_first(); entry != NULL; entry = write_entry_next(entry))
		{
			append_entry(out, entry);
			appendStringInfoChar(out, ' ');
		}
	else if (strcmp(verb, "size") == 0)
		appendStringInfo(out, "%d " UINT64_FORMAT, write_set_is_empty(), write_set_bytes());
	else if (strcmp(verb, "record") == 0)
		run_record(out);
	else if (strcmp(verb, "reset") == 0)
	{
		write_set_reset();
		depth = 0;
	}
	else
		elog(ERROR, "unknown operation \"%s\"", verb);
}

/* (script text) -> text */
Datum
units_write_set_run(PG_FUNCTION_ARGS)
{
	char	   *script = text_to_cstring(PG_GETARG_TEXT_PP(0));
	StringInfoData out;
	char	   *next;

	initStringInfo(&out);
	write_set_reset();
	depth = 0;
	for (char *line = script; *line != '\0'; line = next)
	{
		ScriptLine	split;

		next = strchr(line, '\n');
		if (next == NULL)
			elog(ERROR, "the last line does not end");
		*next++ = '\0';
		split = split_line(line);
		if (split.count == 0)
			elog(ERROR, "empty line");
		run_line(&split, &out);
		appendStringInfoChar(&out, '\n');
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
