/*
 * map_leaf.h
 *	  Steps within one leaf page of LMDB.
 *
 * mdb_cursor_get() costs more for each entry of a page than all else that a
 * scan does with it, so scans ask LMDB for pages and take the entries out of
 * them here.  lmdb/map_leaf.c, which is compiled together with LMDB's source,
 * asserts that its pages are laid out as this file assumes.  It includes
 * neither Postgres's headers nor those of LMDB's internals.
 *
 * A leaf stays valid as long as the read transaction in which it was found.
 */
#ifndef BOREALIS_MAP_LEAF_H
#define BOREALIS_MAP_LEAF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <lmdb.h>

/* A leaf page and a place in it. */
typedef struct MapLeaf
{
	MDB_cursor *cursor;			/* stands somewhere in the page */
	const uint8_t *page;
	const uint8_t *next_page;	/* worth prefetching, or NULL */
	unsigned	index;
	unsigned	count;
} MapLeaf;

#define MAP_PAGE_HEADER_SIZE 24
#define MAP_NODE_HEADER_SIZE 8	/* u32 size of the value, u16 flags, u16 size of the key */

/* The leaf and the place where the cursor stands.  Returns LMDB's status codes, as all do. */
extern int	map_leaf_find(MDB_cursor *cursor, MapLeaf *leaf);

/* The first entry of the leaf that follows; MDB_NOTFOUND at the end of the map. */
extern int	map_leaf_next(MapLeaf *leaf);

/*
 * As map_leaf_next so often, without a look at the leaves in between: only at their
 * parents.
 */
extern int	map_leaf_skip(MapLeaf *leaf, unsigned long count);

/*
 * The same to the first leaf of the next parent.  *passed: how many leaves lie
 * before that, this one included.
 */
extern int	map_leaf_next_parent(MapLeaf *leaf, unsigned long *passed);

/* How many leaves of the same parent lie before this one; *parent tells it from others. */
extern unsigned map_leaf_place(const MapLeaf *leaf, const void **parent);

/* The value of a node that is not whole. */
extern int	map_leaf_read_elsewhere(const MapLeaf *leaf, const uint8_t *node, MDB_val *value);

static inline const uint8_t *
map_leaf_node(const MapLeaf *leaf, unsigned index)
{
	uint16_t	offset;

	memcpy(&offset, leaf->page + MAP_PAGE_HEADER_SIZE + index * sizeof(offset), sizeof(offset));
	return leaf->page + MAP_PAGE_HEADER_SIZE + offset;
}

static inline void
map_node_key(const uint8_t *node, MDB_val *key)
{
	uint16_t	key_size;

	memcpy(&key_size, node + 6, sizeof(key_size));
	key->mv_size = key_size;
	key->mv_data = (void *) (node + MAP_NODE_HEADER_SIZE);
}

/* Of a value that lies elsewhere, too. */
static inline uint32_t
map_node_value_size(const uint8_t *node)
{
	uint32_t	value_size;

	memcpy(&value_size, node, sizeof(value_size));
	return value_size;
}

/* Whether the node holds its value itself. */
static inline bool
map_node_is_whole(const uint8_t *node)
{
	uint16_t	flags;

	memcpy(&flags, node + 4, sizeof(flags));
	return flags == 0;
}

static inline void
map_node_value(const uint8_t *node, const MDB_val *key, MDB_val *value)
{
	value->mv_size = map_node_value_size(node);
	value->mv_data = (uint8_t *) key->mv_data + ((key->mv_size + 1) & ~(size_t) 1);
}

/* The entry at the leaf's index. */
static inline int
map_leaf_get(const MapLeaf *leaf, MDB_val *key, MDB_val *value)
{
	const uint8_t *node = map_leaf_node(leaf, leaf->index);

	map_node_key(node, key);
	if (__builtin_expect(!map_node_is_whole(node), 0))
		return map_leaf_read_elsewhere(leaf, node, value);
	map_node_value(node, key, value);
	return 0;
}

#endif							/* BOREALIS_MAP_LEAF_H */
