# The frame of the makefiles of the C libraries that Python loads. Each says what is its own, then includes this file:
#
#   NAME                borealis_NAME is built, in .build/NAME
#   PACKAGE             into this part of the Python package
#   FOUNDATION          objects of this folder that it links, besides every *.c of its own
#   OTHER_OBJECTS       what else it links
#   OTHER_FLAGS, OTHER_WARNINGS, LIBRARIES
#
# They all understand:
#
#   make -C FOLDER                     incremental build into the Python package
#   make -C FOLDER SANITIZE=address    objects and output of its own, in .build/NAME-address
#   make -C FOLDER V=1                 print whole commands

FOUNDATION_FOLDER := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
VARIANT := $(if $(SANITIZE),-$(SANITIZE))
BUILD ?= $(abspath ../.build)/$(NAME)$(VARIANT)
OUT ?= $(if $(VARIANT),$(BUILD),$(abspath ../src/borealis/$(PACKAGE)))

OPTIMIZE ?= -O2
# Other compilers warn of other things: a package that is built by its user has WERROR empty.
WERROR ?= -Werror
WARNINGS := -Wall -Wextra $(WERROR) -Wmissing-prototypes -Wpointer-arith -Wvla -Wendif-labels -Wformat-security \
	-Wno-missing-field-initializers $(OTHER_WARNINGS)
FLAGS := -std=gnu11 $(OPTIMIZE) -g -fPIC -fvisibility=hidden -fno-omit-frame-pointer $(OTHER_FLAGS) $(CFLAGS)
ifdef SANITIZE
FLAGS += -fsanitize=$(SANITIZE)
endif
ifeq ($(shell uname -s),Darwin)
LINK := -dynamiclib
SUFFIX := .dylib
else
LINK := -shared -Wl,--as-needed -Wl,-z,relro -Wl,-z,now -Wl,--build-id $(if $(SANITIZE),,-Wl,-z,defs)
SUFFIX := .so
endif

RUN = $(if $(V),,@echo '  $(1) $(@F)';)

COMPILED := $(patsubst %.c,$(BUILD)/%.o,$(wildcard *.c)) $(FOUNDATION:%=$(BUILD)/foundation/%)
OBJECTS := $(COMPILED) $(OTHER_OBJECTS)
LIBRARY := $(OUT)/borealis_$(NAME)$(SUFFIX)

all: $(LIBRARY)

$(LIBRARY): $(OBJECTS) $(BUILD)/objects
	@mkdir -p $(@D)
	$(call RUN,LINK)$(CC) $(FLAGS) $(LINK) -o $@.new $(OBJECTS) $(LIBRARIES)
	@mv $@.new $@

COMPILE = $(CC) $(FLAGS) $(WARNINGS) -I$(FOUNDATION_FOLDER)

# A changed compiler flag rebuilds everything; a source that is gone leaves the library, too.
$(BUILD)/command: FORCE
	@mkdir -p $(@D)
	@echo '$(COMPILE)' | cmp -s - $@ || echo '$(COMPILE)' > $@

$(BUILD)/objects: FORCE
	@mkdir -p $(@D)
	@echo '$(OBJECTS)' | cmp -s - $@ || echo '$(OBJECTS)' > $@

$(BUILD)/%.o: %.c $(BUILD)/command
	@mkdir -p $(@D)
	$(call RUN,CC)$(COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/foundation/%.o: $(FOUNDATION_FOLDER)/%.c $(BUILD)/command
	@mkdir -p $(@D)
	$(call RUN,CC)$(COMPILE) -MMD -MP -c -o $@ $<

clean:
	rm -rf $(BUILD) $(LIBRARY)

.PHONY: all clean FORCE
.DELETE_ON_ERROR:
-include $(COMPILED:.o=.d)
