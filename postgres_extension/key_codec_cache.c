/*
 * key_codec_cache.c
 *	  The codecs of values inside other values, looked up for each array,
 *	  range or composite value, and so remembered by this backend.
 *
 * Only successes are remembered.  Any change of a type forgets all of them, at
 * the next look-up: an Oid may have come to mean another type.
 */
#include "key_codec_types.h"

#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct CodecCacheKey
{
	Oid			type_id;
	Oid			collation;
	bool		is_range_bound;	/* of the values in a range of type_id */
} CodecCacheKey;

typedef struct CodecCacheEntry
{
	CodecCacheKey key;
	KeyCodec	codec;
} CodecCacheEntry;

static HTAB *codec_cache = NULL;
static bool codec_cache_is_stale = false;

static void
mark_cache_stale(Datum arg, int cacheid, uint32 hashvalue)
{
	codec_cache_is_stale = true;
}

static void
create_cache(void)
{
	HASHCTL		control = {
		.keysize = sizeof(CodecCacheKey),
		.entrysize = sizeof(CodecCacheEntry),
		.hcxt = CacheMemoryContext,
	};

	codec_cache = hash_create("borealis key codecs", 32, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static KeyCodec
cached_codec(Oid type_id, Oid collation, bool is_range_bound)
{
	static bool is_registered = false;
	CodecCacheKey key;
	CodecCacheEntry *entry;
	KeyCodec	codec;
	KeyRefusal	refusal = {0};
	bool		resolved;

	if (!is_registered)
	{
		CacheRegisterSyscacheCallback(TYPEOID, mark_cache_stale, (Datum) 0);
		is_registered = true;
	}
	if (codec_cache_is_stale && codec_cache != NULL)
	{
		hash_destroy(codec_cache);
		codec_cache = NULL;
	}
	codec_cache_is_stale = false;
	if (codec_cache == NULL)
		create_cache();

	/* Hashed as a blob: padding counts. */
	memset(&key, 0, sizeof(key));
	key.type_id = type_id;
	key.collation = collation;
	key.is_range_bound = is_range_bound;
	entry = hash_search(codec_cache, &key, HASH_FIND, NULL);
	if (likely(entry != NULL))
		return entry->codec;

	resolved = is_range_bound
		? key_codec_resolve_range_bound(&codec, type_id, &refusal)
		: key_codec_resolve_type(&codec, type_id, collation, &refusal);
	if (!resolved)
		key_codec_refuse(&refusal);

	entry = hash_search(codec_cache, &key, HASH_ENTER, NULL);
	entry->codec = codec;
	return codec;
}

KeyCodec
key_codec_of_type(Oid type_id, Oid collation)
{
	return cached_codec(type_id, collation, false);
}

KeyCodec
key_codec_of_range_bound(Oid range_type)
{
	return cached_codec(range_type, InvalidOid, true);
}
