/*
 * write_set.h
 *	  What the current transaction has written and locked, in this backend's
 *	  memory, in key order, until COMMIT ships it.
 *
 * An entry is a key with a stack of versions, newest first.  A version knows
 * the command that made it and is undone with its subtransaction.  A version's
 * number is its place in the order of writing; own row handles are made of it.
 */
#ifndef BOREALIS_WRITE_SET_H
#define BOREALIS_WRITE_SET_H

#include "borealis.h"

#include "access/htup.h"
#include "lib/stringinfo.h"

/* Values of the transaction record's operations and lock modes. */
typedef enum WriteOperation
{
	WRITE_INSERT = 1,
	WRITE_UPDATE = 2,			/* key columns unchanged */
	WRITE_KEY_UPDATE = 3,
	WRITE_DELETE = 4,
	WRITE_INDEX_PUT = 5,		/* secondary index entries: not conflict-checked */
	WRITE_INDEX_DELETE = 6
} WriteOperation;

typedef enum KeyLockMode
{
	KEY_LOCK_KEY_SHARE = 1,
	KEY_LOCK_SHARE = 2,
	KEY_LOCK_UPDATE = 3,
	KEY_LOCK_EXCLUSIVE = 4
} KeyLockMode;

typedef struct WriteEntry WriteEntry;
typedef struct WriteVersion WriteVersion;

struct WriteVersion
{
	WriteVersion *older;		/* of the same key */
	WriteEntry *entry;
	CommandId	cid;			/* command that wrote it */
	CommandId	cmax;			/* command that replaced it, or InvalidCommandId */
	TransactionId xid;			/* (sub)transaction that wrote it, for rows */
	uint8		operation;		/* WriteOperation */
	uint32		value_size;		/* stored form, 0 for deletes */
	uint64		number;
	uint8		value[FLEXIBLE_ARRAY_MEMBER];	/* MAXALIGNed start */
};

struct WriteEntry
{
	WriteVersion *newest;		/* NULL once every version was rolled back */
	uint16		key_size;
	uint8		height;			/* of the skip list tower */
	/* tower of next pointers, then the key */
};

extern const uint8 *write_entry_key(const WriteEntry *entry);

extern bool write_set_is_empty(void);	/* neither writes nor locks */
extern uint64 write_set_bytes(void);

/* Adds a version.  The current subtransaction owns it. */
extern WriteVersion *write_set_put(const uint8 *key, uint32 key_size,
								   WriteOperation operation,
								   CommandId cid, TransactionId xid,
								   const uint8 *value, uint32 value_size);
/* The same, the caller fills value[] itself. */
extern WriteVersion *write_set_reserve(const uint8 *key, uint32 key_size,
									   WriteOperation operation,
									   CommandId cid, TransactionId xid,
									   uint32 value_size);

extern void write_set_lock(const uint8 *key, uint32 key_size, KeyLockMode mode);

extern WriteVersion *write_set_version(uint64 number);	/* NULL if unknown */
extern WriteEntry *write_set_find(const uint8 *key, uint32 key_size);
/* First entry with key >= the given one (greater than, if exclusive). */
extern WriteEntry *write_set_seek(const uint8 *key, uint32 key_size, bool exclusive);
/* Last entry with key < the given one (or <=, if inclusive). */
extern WriteEntry *write_set_seek_before(const uint8 *key, uint32 key_size, bool inclusive);
extern WriteEntry *write_entry_next(const WriteEntry *entry);
/* Newest version of the entry written before the command, or NULL. */
extern WriteVersion *write_entry_visible(const WriteEntry *entry, CommandId curcid);

/* Row count and byte deltas, relfilenodes to drop: sections of the record. */
extern void write_set_count_rows(Oid relfilenode, int64 rows, int64 bytes);
extern void write_set_drop_relfilenode(Oid relfilenode);

/* Appends all sections of the transaction record after its header. */
typedef struct WriteSetCounts
{
	uint32		writes;
	uint32		locks;
	uint32		dropped;
	uint32		deltas;
} WriteSetCounts;
extern void write_set_serialize(StringInfo out, const char *catalog_entry,
								uint32 catalog_entry_size, WriteSetCounts *counts);

extern void write_set_reset(void);
extern void write_set_subtransaction_start(SubTransactionId id);
extern void write_set_subtransaction_commit(SubTransactionId id, SubTransactionId parent);
extern void write_set_subtransaction_abort(SubTransactionId id);

#endif							/* BOREALIS_WRITE_SET_H */
