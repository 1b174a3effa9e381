/*
 * table_turn.h
 *	  The turn of a schema change at the tables that it reads as a whole.
 */
#ifndef BOREALIS_TABLE_TURN_H
#define BOREALIS_TABLE_TURN_H

#include "borealis.h"
#include "nodes/nodes.h"

/*
 * Before a statement that will scan existing tables takes its read timestamp:
 * locks these tables as it will, and has the commits of other instances on them
 * held until the transaction ends.  Takes only what the user owns, and leaves every
 * error to the statement itself.  True: there is something to scan.
 */
extern bool table_turn_take(Node *statement);

#endif							/* BOREALIS_TABLE_TURN_H */
