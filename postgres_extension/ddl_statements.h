/*
 * ddl_statements.h
 *	  What happens around each statement because schemas are shared.
 */
#ifndef BOREALIS_DDL_STATEMENTS_H
#define BOREALIS_DDL_STATEMENTS_H

extern void ddl_statements_init(void);	/* from _PG_init */

#endif							/* BOREALIS_DDL_STATEMENTS_H */
