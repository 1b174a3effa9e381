/*
 * session_bytes.h
 *	  Reading and writing the bytes of a session's state.
 */
#ifndef BOREALIS_SESSION_BYTES_H
#define BOREALIS_SESSION_BYTES_H

#include "borealis.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

/* What is still to be read.  Bytes that make no sense are an ERROR. */
typedef struct StateReader
{
	const char *next;
	const char *end;
} StateReader;

static inline void pg_attribute_noreturn()
state_is_malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("malformed session state")));
}

static inline void
state_read(StateReader *reader, void *target, Size size)
{
	if (reader->end - reader->next < size)
		state_is_malformed();
	memcpy(target, reader->next, size);
	reader->next += size;
}

static inline uint32
state_read_u32(StateReader *reader)
{
	uint32		value;

	state_read(reader, &value, sizeof(value));
	return value;
}

/* A string of the database's encoding, as a palloc'd C string. */
static inline char *
state_read_string(StateReader *reader)
{
	uint32		size = state_read_u32(reader);
	char	   *string;

	if (reader->end - reader->next < size || memchr(reader->next, '\0', size) != NULL)
		state_is_malformed();
	(void) pg_verify_mbstr(GetDatabaseEncoding(), reader->next, size, false);
	string = pnstrdup(reader->next, size);
	reader->next += size;
	return string;
}

static inline void
state_write_u32(StringInfo out, uint32 value)
{
	appendBinaryStringInfo(out, &value, sizeof(value));
}

static inline void
state_write_string(StringInfo out, const char *string)
{
	uint32		size = strlen(string);

	state_write_u32(out, size);
	appendBinaryStringInfo(out, string, size);
}

#endif							/* BOREALIS_SESSION_BYTES_H */
