/*
 * doors.h
 *	  Everything that the library exports; src/borealis/storage/library.py calls it.
 *
 * A follower and its map are used by one thread, but for the copying of the
 * map.  Functions that return int return a status of LMDB unless they say
 * something else.
 */
#ifndef BOREALIS_STORAGE_DOORS_H
#define BOREALIS_STORAGE_DOORS_H

#include "follower.h"
#include "page.h"
#include "versions.h"

#define DOOR __attribute__((visibility("default")))

/* The map. */
DOOR extern int storage_map_open(const char *directory, uint64_t bytes_max, unsigned readers_max, unsigned permissions,
								 Map **opened);
DOOR extern void storage_map_close(Map *map);
DOOR extern int storage_map_sync(Map *map);
DOOR extern int storage_map_check_readers(Map *map, int *dead);
/* Write a compact copy of a state not older than the call; it is settled before the first byte is written. */
DOOR extern int storage_map_copy(Map *map, int descriptor);
DOOR extern const char *storage_error_text(int status);

DOOR extern int storage_begin(Map *map, int is_write, MDB_txn **transaction);
DOOR extern int storage_commit(MDB_txn *transaction);
DOOR extern void storage_abort(MDB_txn *transaction);
DOOR extern int storage_get(Map *map, MDB_txn *transaction, Table table, const uint8_t *key, size_t key_size,
							const uint8_t **value, size_t *value_size);
DOOR extern int storage_put(Map *map, MDB_txn *transaction, Table table, const uint8_t *blob, const uint32_t *sizes,
							size_t entries);
DOOR extern int storage_put_over(Map *map, MDB_txn *transaction, const uint8_t *blob, const uint32_t *sizes,
								 size_t entries, uint8_t *is_over);
DOOR extern int storage_delete(Map *map, MDB_txn *transaction, Table table, const uint8_t *blob, const uint32_t *sizes,
							   size_t keys);
DOOR extern int storage_scan(Map *map, MDB_txn *transaction, Table table, const uint8_t *start, size_t start_size,
							 uint8_t *out, size_t out_size, size_t *entries, size_t *needed);
DOOR extern int storage_clear_keys(Map *map, MDB_txn *transaction, const uint8_t *blob, const uint32_t *sizes,
								   size_t keys, uint64_t horizon, uint64_t limit, uint64_t *deleted, uint8_t *is_all);
DOOR extern int storage_clear_relation(Map *map, MDB_txn *transaction, const uint8_t *prefix, size_t prefix_size,
									   uint64_t dropped_at, uint64_t limit, uint64_t *deleted, uint8_t *is_all);
DOOR extern int storage_sweep(Map *map, const uint8_t *start, size_t start_size, uint64_t horizon, size_t entries,
							  size_t *deleted, uint8_t *resume, size_t *resume_size);

/* The follower.  `page` must stay mapped; NULL: nothing is published. */
DOOR extern Follower *storage_follower_open(Map *map, uint64_t *page, uint64_t queue_keys_max,
											uint64_t busy_overwrites, uint64_t collect_keys_max,
											uint64_t batch_bytes_max);
DOOR extern void storage_follower_close(Follower *follower);
DOOR extern FollowerState *storage_follower_state(Follower *follower);
DOOR extern size_t storage_take_unpublished(Follower *follower, uint32_t *relations, size_t room);
DOOR extern void storage_connect(Follower *follower, int descriptor);
DOOR extern void storage_disconnect(Follower *follower);
DOOR extern int storage_send(Follower *follower, const uint8_t *data, size_t size);
DOOR extern int storage_report(Follower *follower);
DOOR extern int storage_note_applied(Follower *follower);
DOOR extern int storage_follow(Follower *follower, int wake_descriptor, int listens, int64_t due_ns,
							   int64_t idle_due_ns);
DOOR extern int storage_feed(Follower *follower, const uint8_t *data, size_t size);
DOOR extern int storage_next_frame(Follower *follower, uint8_t *type, const uint8_t **payload, size_t *size);
DOOR extern void storage_drop_frame(Follower *follower);
DOOR extern int storage_collect(Follower *follower, uint64_t settled, size_t limit);
DOOR extern void storage_publish(uint64_t *page, uint64_t position, uint64_t timestamp, uint32_t wake_bits);

/* The queue of a follower (queue.h). */
DOOR extern uint64_t storage_queue_length(Follower *follower);
DOOR extern int storage_queue_is_incomplete(Follower *follower);
DOOR extern void storage_queue_set_incomplete(Follower *follower, int is_incomplete);
DOOR extern int storage_queue_is_ready(Follower *follower, uint64_t settled);
DOOR extern void storage_queue_add(Follower *follower, const uint64_t *timestamps, const uint8_t *blob,
								   const uint32_t *sizes, size_t keys);

#endif							/* BOREALIS_STORAGE_DOORS_H */
