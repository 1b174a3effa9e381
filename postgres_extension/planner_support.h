/*
 * planner_support.h
 *	  What planner and executor must know of Borealis tables beyond the access
 *	  methods' callbacks.
 */
#ifndef BOREALIS_PLANNER_SUPPORT_H
#define BOREALIS_PLANNER_SUPPORT_H

extern void planner_support_init(void);

#endif							/* BOREALIS_PLANNER_SUPPORT_H */
