/*
 * planner_support.h
 *	  What planner and executor must know of Borealis tables beyond the access
 *	  methods' callbacks.
 */
#ifndef BOREALIS_PLANNER_SUPPORT_H
#define BOREALIS_PLANNER_SUPPORT_H

extern void planner_support_init(void);

/* Does the statement under way change rows of the table, or lock them against change? */
extern bool running_statement_changes(Oid table);

#endif							/* BOREALIS_PLANNER_SUPPORT_H */
