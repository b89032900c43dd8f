# The virtual board: a program for the ESP32 on the stand-ins in host/, as a Linux program. Included by the Makefile.
#
#   make host                                 the firmware, with stand-ins of the libraries too
#   make host PUBSUBCLIENT=dir MICRO_MP3=dir  with the real ones, from checkouts
#   make host SANITIZE=1                      with the address and undefined behaviour sanitizers, and a leak check
#   make host BOARD=XIAO_ESP32S3_SENSE        another board of src/board.h
#   make host TLS=1 SECRETS=dir               with TLS; dir holds the headers that git ignores: ca_cert.h, secrets.h
#   make host SKETCH=examples/simplest/simplest.ino SECRETS=dir
PUBSUBCLIENT ?=
MICRO_MP3 ?=
SANITIZE ?=
BOARD ?= ESP32_DEVKIT
TLS ?=
SECRETS ?=
SKETCH ?=

# How the libraries are built; each way has a folder of its own, and in it each program.
HOST_BUILD := $(BUILD)/host$(if $(PUBSUBCLIENT),-pubsubclient)$(if $(MICRO_MP3),-micro-mp3)$(if $(SANITIZE),-sanitize)
HOST_NAME := virtual-board$(if $(filter-out ESP32_DEVKIT,$(BOARD)),-$(BOARD))$(if $(TLS),-tls)$(if \
    $(SKETCH),-$(basename $(notdir $(SKETCH))))
HOST_PROGRAM := $(HOST_BUILD)/$(HOST_NAME)

HOST_SKETCH := $(or $(SKETCH),$(wildcard src/*.cpp))
HOST_SOURCES := $(wildcard host/src/*.cpp) $(CORE_SOURCES)
HOST_INCLUDES := -Ihost/arduino -Ihost/src $(INCLUDES)
HOST_LIBRARIES := -lssl -lcrypto
HOST_SANITIZERS := $(if $(SANITIZE),$(SANITIZERS))

ifneq ($(PUBSUBCLIENT),)
HOST_FOREIGN += $(PUBSUBCLIENT)/src/PubSubClient.cpp
HOST_INCLUDES += -isystem $(PUBSUBCLIENT)/src
else
HOST_SOURCES += host/pubsubclient/PubSubClient.cpp
HOST_INCLUDES += -Ihost/pubsubclient
endif
ifneq ($(MICRO_MP3),)
HOST_FOREIGN += $(MICRO_MP3)/src/mp3_decoder.cpp $(wildcard $(MICRO_MP3)/src/opencore-mp3dec/*.cpp)
HOST_INCLUDES += -isystem $(MICRO_MP3)/include -isystem $(MICRO_MP3)/src/opencore-mp3dec \
    -isystem $(MICRO_MP3)/src/opencore-mp3dec/oscl
else
HOST_SOURCES += host/micro_mp3/mp3_decoder.cpp
HOST_INCLUDES += -Ihost/micro_mp3
HOST_LIBRARIES += -lmpg123
endif

HOST_OBJECTS := $(HOST_SOURCES:%=$(HOST_BUILD)/objects/%.o)
HOST_PROBE := $(HOST_BUILD)/probe.o
HOST_SKETCH_OBJECTS := $(HOST_SKETCH:%=$(HOST_PROGRAM)-objects/%.o)
HOST_FOREIGN_OBJECTS := $(foreach source,$(HOST_FOREIGN),$(HOST_BUILD)/foreign/$(notdir $(source)).o)
HOST_FLAGS := $(STANDARD) -g -O1 -MMD -MP $(HOST_SANITIZERS) -DARDUINO=10819 -DESP32 -DARDUINO_ARCH_ESP32 $(HOST_INCLUDES)
HOST_SKETCH_FLAGS := -include Arduino.h -DVOICE_BOARD_$(BOARD) $(if $(TLS),-DVOICE_TLS) $(if $(SECRETS),-I$(SECRETS))

.PHONY: host FORCE
host: $(HOST_PROGRAM) $(HOST_PROBE) ## Build the virtual board: the firmware as a Linux program (host/README.md)
	@set -- $$(nm --print-size $(HOST_PROBE) | awk '$$4 ~ /^(ram_budget|size_of_node)$$/ { print "0x" $$2 }') && \
	    echo "voice_core takes $$(($$2)) of $$(($$1)) bytes of RAM, the MP3 decoder apart; on a board less: make size"
	@echo "built firmware/$(HOST_PROGRAM); try it with --help"

$(HOST_PROGRAM): $(HOST_OBJECTS) $(HOST_SKETCH_OBJECTS) $(HOST_FOREIGN_OBJECTS)
	@echo "  link $@"
	$(Q)$(CXX) $(HOST_SANITIZERS) $^ $(HOST_LIBRARIES) -o $@

# Without sanitizers, which make everything larger.
$(HOST_PROBE): size/probe.cpp Makefile host/host.mk
	@mkdir -p $(@D)
	$(Q)$(CXX) $(STANDARD) -MMD -MP -Ilib/voice_core/include -c $< -o $@

$(HOST_OBJECTS): $(HOST_BUILD)/objects/%.o: % Makefile host/host.mk
	@mkdir -p $(@D)
	@echo "  compile $@"
	$(Q)$(CXX) $(WARNINGS) $(HOST_FLAGS) -c $< -o $@

# Built with other headers (SECRETS) than the last time, a program is another one.
$(HOST_PROGRAM)-objects/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(HOST_SKETCH_FLAGS)' | cmp -s - $@ || echo '$(HOST_SKETCH_FLAGS)' > $@

$(HOST_SKETCH_OBJECTS): $(HOST_PROGRAM)-objects/%.o: % $(HOST_PROGRAM)-objects/flags Makefile host/host.mk
	@mkdir -p $(@D)
	@echo "  compile $@"
	$(Q)$(CXX) $(WARNINGS) $(HOST_FLAGS) $(HOST_SKETCH_FLAGS) -x c++ -c $< -o $@

# Of other people's code the warnings are theirs, and so are shifts: OpenCORE shifts negative numbers to the left, as
# fixed-point code has always done.
define HOST_FOREIGN_RULE
$(HOST_BUILD)/foreign/$(notdir $(1)).o: $(1) Makefile host/host.mk
	@mkdir -p $$(@D)
	@echo "  compile $$@"
	$$(Q)$$(CXX) -w $$(HOST_FLAGS) -fno-sanitize=shift -c $$< -o $$@
endef
$(foreach source,$(HOST_FOREIGN),$(eval $(call HOST_FOREIGN_RULE,$(source))))

-include $(HOST_PROBE:.o=.d) $(HOST_OBJECTS:.o=.d) $(HOST_SKETCH_OBJECTS:.o=.d) $(HOST_FOREIGN_OBJECTS:.o=.d)
