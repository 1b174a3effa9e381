/*
 * admin_role.h
 *	  The role that every cluster has for its users, and that stays as it is.
 */
#ifndef BOREALIS_ADMIN_ROLE_H
#define BOREALIS_ADMIN_ROLE_H

#include "borealis.h"

#include "nodes/parsenodes.h"

/* Made with the seed. */
#define ADMIN_ROLE "admin"

extern Oid	admin_role_oid(void);

/* ERROR 0A000 for a statement that would drop, rename or change the role. */
extern void admin_role_reject(const Node *statement);

#endif							/* BOREALIS_ADMIN_ROLE_H */
