/*
 * write_set.h
 *	  What the current transaction has written and locked, in this backend's
 *	  memory, in key order, until COMMIT ships it.
 *
 * An entry is a key with a stack of versions, newest first, and the strongest
 * lock that was taken on it.  A version knows the command that made it and is
 * undone with its subtransaction.  A version's number is its place in the order
 * of writing; own row handles are made of it.
 *
 * Entries stay where they are until the transaction ends, so a scan may keep a
 * pointer to one across anything.  A version stays until the transaction ends
 * unless its subtransaction is rolled back: then its memory is used again, its
 * number is not.
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
	KEY_LOCK_NONE = 0,
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
	bool		is_moved;		/* of WRITE_DELETE: the row is the version with the next number */
	uint32		value_size;		/* stored form, 0 for deletes */

	/*
	 * Bytes of the committed value that this version takes the place of; 0 if
	 * there is none or nobody knows.  Set by whoever put the version; only the
	 * relation's size estimate depends on it.
	 */
	uint32		replaced_size;
	uint64		number;
	uint8		value[FLEXIBLE_ARRAY_MEMBER];	/* MAXALIGNed start */
};

struct WriteEntry
{
	WriteVersion *newest;		/* NULL: only locked, or everything rolled back */
	uint16		key_size;
	uint8		height;			/* of the skip list tower */
	uint8		lock_mode;		/* KeyLockMode */
	uint8		net_operation;	/* what write_set_serialize decided to ship */
	uint8		net_lock;
	WriteEntry *next[FLEXIBLE_ARRAY_MEMBER];	/* the tower, then the key */
};

static inline const uint8 *
write_entry_key(const WriteEntry *entry)
{
	return (const uint8 *) &entry->next[entry->height];
}

extern bool write_set_is_empty(void);	/* neither writes nor locks */

/*
 * Size of the record's sections for writes and locks as they stand; a little
 * too large when writes cancel each other out or make locks superfluous.
 */
extern uint64 write_set_bytes(void);

/*
 * Adds a version.  The current subtransaction owns it.
 *
 * WRITE_INSERT and WRITE_INDEX_PUT as the first version of a key say that no
 * committed version is live at the read timestamp.  To overwrite a live
 * committed index entry, put WRITE_INDEX_DELETE first; otherwise a later
 * WRITE_INDEX_DELETE would cancel out with the put and leave it alive.
 */
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

/* NULL if there is no such number, or the version was rolled back. */
extern WriteVersion *write_set_version(uint64 number);
extern WriteEntry *write_set_find(const uint8 *key, uint32 key_size);
extern WriteEntry *write_set_first(void);
/* First entry with key >= the given one (greater than, if exclusive). */
extern WriteEntry *write_set_seek(const uint8 *key, uint32 key_size, bool exclusive);
/* Last entry with key < the given one (or <=, if inclusive). */
extern WriteEntry *write_set_seek_before(const uint8 *key, uint32 key_size, bool inclusive);

static inline WriteEntry *
write_entry_next(const WriteEntry *entry)
{
	return entry->next[0];
}

/*
 * Newest version of the entry written before the command, or NULL.
 * InvalidCommandId sees everything.
 */
static inline WriteVersion *
write_entry_visible(const WriteEntry *entry, CommandId curcid)
{
	WriteVersion *version = entry->newest;

	while (version != NULL && version->cid >= curcid)
		version = version->older;
	return version;
}

/* A relfilenode to drop at commit; what was written to it is not shipped. */
extern void write_set_drop_relfilenode(Oid relfilenode);
/* Those of the transaction, in the order of dropping. */
extern const Oid *write_set_dropped(uint64 *count);

/*
 * Appends all sections of the transaction record after its header.  Per
 * relfilenode, rows and bytes are counted from the net writes.  ERROR 54000 if
 * the record would be larger than the service, or a memory chunk, takes.
 */
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
