/*
 * primary_key_storage.h
 *	  Keeps rows where their primary key says they are.
 */
#ifndef BOREALIS_PRIMARY_KEY_STORAGE_H
#define BOREALIS_PRIMARY_KEY_STORAGE_H

/* Installs hooks; before those of ddl_log, which must enclose them. */
extern void primary_key_storage_init(void);

#endif							/* BOREALIS_PRIMARY_KEY_STORAGE_H */
