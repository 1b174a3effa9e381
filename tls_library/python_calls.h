/*
 * python_calls.h
 *	  What the hottest calls use of Python, declared here.
 *
 * ctypes costs about half a microsecond for a call with four arguments, more
 * than a small record.  So these are built-in functions, made from CPython's
 * stable ABI (3.10 and later), found in the process like OpenSSL: Python's
 * headers are not needed either.
 */
#ifndef BOREALIS_TLS_PYTHON_CALLS_H
#define BOREALIS_TLS_PYTHON_CALLS_H

#include <sys/types.h>

typedef struct _object PyObject;
typedef ssize_t Py_ssize_t;
typedef PyObject *(*PyCFunctionFast) (PyObject *self, PyObject *const *arguments, Py_ssize_t count);

typedef struct PyMethodDef
{
	const char *name;
	PyCFunctionFast function;
	int			flags;
	const char *doc;
} PyMethodDef;

#define METH_FASTCALL 0x0080

/* Longest piece that one call takes (src/borealis/tls/library.py). */
#define INPUT_BYTES_MAX (1 << 17)

/* F(result, name, parameters) */
#define PYTHON_FUNCTIONS(F) \
	F(PyObject *, PyCFunction_NewEx, (PyMethodDef *method, PyObject *self, PyObject *module)) \
	F(void *, PyLong_AsVoidPtr, (PyObject *number)) \
	F(long, PyLong_AsLong, (PyObject *number)) \
	F(PyObject *, PyLong_FromLongLong, (long long value)) \
	F(int, PyBytes_AsStringAndSize, (PyObject *bytes, char **data, Py_ssize_t *size)) \
	F(PyObject *, PyBytes_FromStringAndSize, (const char *data, Py_ssize_t size)) \
	F(PyObject *, PyErr_Occurred, (void)) \
	F(PyObject *, PyErr_SetFromErrno, (PyObject *type)) \
	F(void, PyErr_BadArgument, (void))

#endif							/* BOREALIS_TLS_PYTHON_CALLS_H */
