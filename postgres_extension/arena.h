/*
 * arena.h
 *	  Memory handed out in one direction, and taken back by returning to a mark
 *	  or to the start.
 *
 * An arena takes blocks of growing size from a memory context.  The first one
 * comes from TopMemoryContext and stays, so that filling and resetting a small
 * arena over and over touches no allocator.  Pieces are MAXALIGNed.
 */
#ifndef BOREALIS_ARENA_H
#define BOREALIS_ARENA_H

#include "postgres.h"

typedef struct ArenaBlock
{
	struct ArenaBlock *older;
	char	   *end;
} ArenaBlock;

typedef struct Arena
{
	MemoryContext context;
	ArenaBlock *newest;
	char	   *position;		/* in the newest block */
} Arena;

typedef struct ArenaMark
{
	ArenaBlock *block;
	char	   *position;
} ArenaMark;

extern void arena_init(Arena *arena, MemoryContext context);
/* Makes a new block with room for one piece of that size. */
extern void arena_add_block(Arena *arena, Size size);
/* Gives back everything allocated since the mark was taken. */
extern void arena_rewind(Arena *arena, ArenaMark mark);
/* Forgets everything.  The caller resets the context, which frees the blocks. */
extern void arena_reset(Arena *arena);

static inline void *
arena_allocate(Arena *arena, Size size)
{
	void	   *result;

	size = MAXALIGN(size);
	if (unlikely((Size) (arena->newest->end - arena->position) < size))
		arena_add_block(arena, size);
	result = arena->position;
	arena->position += size;
	return result;
}

static inline ArenaMark
arena_mark(const Arena *arena)
{
	return (ArenaMark) {.block = arena->newest,.position = arena->position};
}

#endif							/* BOREALIS_ARENA_H */
