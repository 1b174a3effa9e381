/*
 * arena.c
 *	  Blocks of an arena.
 */
#include "arena.h"

#include "utils/memutils.h"

#define FIRST_BLOCK_SIZE (16 * 1024)
#define BLOCK_SIZE_MAX (4 * 1024 * 1024)
#define BLOCK_HEADER_SIZE MAXALIGN(sizeof(ArenaBlock))

static void
add_block(Arena *arena, MemoryContext context, Size size)
{
	ArenaBlock *block = MemoryContextAllocHuge(context, size);

	block->older = arena->newest;
	block->end = (char *) block + size;
	arena->newest = block;
	arena->position = (char *) block + BLOCK_HEADER_SIZE;
}

void
arena_init(Arena *arena, MemoryContext context)
{
	arena->context = context;
	arena->newest = NULL;
	add_block(arena, TopMemoryContext, FIRST_BLOCK_SIZE);
}

void
arena_add_block(Arena *arena, Size size)
{
	Size		size_before = arena->newest->end - (char *) arena->newest;

	add_block(arena, arena->context,
			  Max(Min(size_before * 2, BLOCK_SIZE_MAX), BLOCK_HEADER_SIZE + size));
}

void
arena_rewind(Arena *arena, ArenaMark mark)
{
	while (arena->newest != mark.block)
	{
		ArenaBlock *block = arena->newest;

		arena->newest = block->older;
		pfree(block);
	}
	arena->position = mark.position;
}

void
arena_reset(Arena *arena)
{
	while (arena->newest->older != NULL)
		arena->newest = arena->newest->older;
	arena->position = (char *) arena->newest + BLOCK_HEADER_SIZE;
}
