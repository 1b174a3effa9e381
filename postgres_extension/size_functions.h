/*
 * size_functions.h
 *	  pg_relation_size and its kin, for relations whose rows are not in files.
 */
#ifndef BOREALIS_SIZE_FUNCTIONS_H
#define BOREALIS_SIZE_FUNCTIONS_H

extern void size_functions_init(void);

#endif							/* BOREALIS_SIZE_FUNCTIONS_H */
