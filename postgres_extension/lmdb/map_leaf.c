/*
 * map_leaf.c
 *	  LMDB, and what map_leaf.h needs of its internals.
 *
 * Reads only what mdb_cursor_next reads, and leaves the cursor in states that
 * mdb_cursor_next leaves it in.
 */
#include "mdb.c"

#include "../map_leaf.h"

_Static_assert(sizeof(MDB_page_header) == MAP_PAGE_HEADER_SIZE && PAGEBASE == MAP_PAGE_HEADER_SIZE &&
			   offsetof(MDB_page, mp_ptrs) == MAP_PAGE_HEADER_SIZE && sizeof(indx_t) == sizeof(uint16_t),
			   "pages of LMDB");
_Static_assert(offsetof(MDB_node, mn_flags) == 4 && offsetof(MDB_node, mn_ksize) == 6 &&
			   NODESIZE == MAP_NODE_HEADER_SIZE && sizeof(unsigned short) == sizeof(uint16_t),
			   "nodes of LMDB");

/* The page right of this one, if both have the same parent. */
static const uint8_t *
right_sibling(const MDB_cursor *cursor)
{
	const MDB_page *parent;
	MDB_node   *node;
	pgno_t		number;

	if (cursor->mc_top == 0)
		return NULL;
	parent = cursor->mc_pg[cursor->mc_top - 1];
	if (cursor->mc_ki[cursor->mc_top - 1] + 1u >= NUMKEYS(parent))
		return NULL;
	node = NODEPTR(parent, cursor->mc_ki[cursor->mc_top - 1] + 1);
	number = NODEPGNO(node);
	if (number >= cursor->mc_txn->mt_next_pgno)
		return NULL;
	return (const uint8_t *) cursor->mc_txn->mt_env->me_map +
		cursor->mc_txn->mt_env->me_psize * number;
}

int
map_leaf_find(MDB_cursor *cursor, MapLeaf *leaf)
{
	const MDB_page *page;

	if (!(cursor->mc_flags & C_INITIALIZED))
		return EINVAL;
	page = cursor->mc_pg[cursor->mc_top];
	if (!IS_LEAF(page) || IS_LEAF2(page))
		return MDB_CORRUPTED;
	leaf->cursor = cursor;
	leaf->page = (const uint8_t *) page;
	leaf->next_page = right_sibling(cursor);
	leaf->index = cursor->mc_ki[cursor->mc_top];
	leaf->count = NUMKEYS(page);
	return leaf->index < leaf->count ? 0 : MDB_NOTFOUND;
}

int
map_leaf_next(MapLeaf *leaf)
{
	MDB_cursor *cursor = leaf->cursor;
	MDB_val		key;
	int			status;

	cursor->mc_ki[cursor->mc_top] = leaf->count - 1;
	status = mdb_cursor_get(cursor, &key, NULL, MDB_NEXT);
	return status != 0 ? status : map_leaf_find(cursor, leaf);
}

/* The leaves right of this one below the same parent. */
static unsigned
siblings_left(const MDB_cursor *cursor)
{
	if (cursor->mc_top == 0)
		return 0;
	return NUMKEYS(cursor->mc_pg[cursor->mc_top - 1]) - 1 - cursor->mc_ki[cursor->mc_top - 1];
}

/* To the one that follows so many of them. */
static int
next_behind(MapLeaf *leaf, unsigned siblings)
{
	if (siblings > 0)
		leaf->cursor->mc_ki[leaf->cursor->mc_top - 1] += siblings;
	return map_leaf_next(leaf);
}

int
map_leaf_skip(MapLeaf *leaf, unsigned long count)
{
	int			status = 0;

	while (status == 0 && count > 0)
	{
		unsigned	siblings = siblings_left(leaf->cursor);

		if (siblings >= count)
			siblings = (unsigned) count - 1;
		status = next_behind(leaf, siblings);
		count -= siblings + 1;
	}
	return status;
}

int
map_leaf_next_parent(MapLeaf *leaf, unsigned long *passed)
{
	unsigned	siblings = siblings_left(leaf->cursor);

	*passed = siblings + 1;
	return next_behind(leaf, siblings);
}

unsigned
map_leaf_place(const MapLeaf *leaf, const void **parent)
{
	const MDB_cursor *cursor = leaf->cursor;

	*parent = cursor->mc_top == 0 ? NULL : cursor->mc_pg[cursor->mc_top - 1];
	return cursor->mc_top == 0 ? 0 : cursor->mc_ki[cursor->mc_top - 1];
}

int
map_leaf_read_elsewhere(const MapLeaf *leaf, const uint8_t *node, MDB_val *value)
{
	MDB_node   *entry = (MDB_node *) node;

	if (entry->mn_flags != F_BIGDATA)
		return MDB_CORRUPTED;
	return mdb_node_read(leaf->cursor, entry, value);
}
