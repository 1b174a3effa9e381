# Where the C sources of LMDB come from, for every makefile that compiles them. Sets LMDB, the folder with them, and makes
# $(LMDB)/mdb.c. Uses PYTHON, whose pip downloads.

LMDB_SOURCE := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))../lmdb-source.txt)
DOWNLOAD ?= $(abspath ../.build)/download
LMDB_RELEASE := lmdb-3.0.0
LMDB := $(DOWNLOAD)/$(LMDB_RELEASE)/lib1

# pip asks a source distribution for its metadata, and this one would patch its sources (LMDB_PURE: not) on the way.
$(LMDB)/mdb.c: $(LMDB_SOURCE)
	@mkdir -p $(DOWNLOAD)
	LMDB_PURE=1 $(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --no-binary lmdb \
		--no-build-isolation --require-hashes --dest $(DOWNLOAD) --requirement $<
	tar -xzf $(DOWNLOAD)/$(LMDB_RELEASE).tar.gz -C $(DOWNLOAD)
	@touch $@
