/*
 * iam_mapping.h
 *	  Which principals may log in as which role: AWS IAM GRANT and REVOKE.
 *
 * A mapping is a security label of the role, whose provider is named after the
 * principal: "aws iam " and its ARN.  The label is the mapping's own OID and that
 * of the grantor.  So it is a row of a catalog, is the same on every instance with
 * the transaction that made it, and goes with the role.  No provider of security
 * labels is loaded: SECURITY LABEL cannot write it.  The view
 * sys.iam_pg_role_mappings reads it.
 */
#ifndef BOREALIS_IAM_MAPPING_H
#define BOREALIS_IAM_MAPPING_H

#include "borealis.h"

#include "tcop/cmdtag.h"

#include "dialect.h"

extern void iam_mapping_execute(const IamStatement *statement, QueryCompletion *completion);

#endif							/* BOREALIS_IAM_MAPPING_H */
