# The virtual board: src/ and voice_core as a Linux program, on the stand-ins in host/. Included by the Makefile.
#
#   make host                                 with stand-ins of the libraries too
#   make host PUBSUBCLIENT=dir MICRO_MP3=dir  with the real ones, from checkouts
#   make host SANITIZE=1                      with the address and undefined behaviour sanitizers, and a leak check
#   make host BOARD=XIAO_ESP32S3_SENSE        another board of src/board.h
#   make host TLS=dir                         with TLS; dir holds ca_cert.h
#   make host SKETCH=examples/simplest/simplest.ino
PUBSUBCLIENT ?=
MICRO_MP3 ?=
SANITIZE ?=
BOARD ?= ESP32_DEVKIT
TLS ?=
SKETCH ?=

# Each choice of the above has a folder of its own, and the program in it this name.
HOST_BUILD ?= $(BUILD)/host$(if $(PUBSUBCLIENT),-pubsubclient)$(if $(MICRO_MP3),-micro-mp3)$(if \
    $(SANITIZE),-sanitize)$(if $(filter-out ESP32_DEVKIT,$(BOARD)),-$(BOARD))$(if $(TLS),-tls)$(if \
    $(SKETCH),-$(basename $(notdir $(SKETCH))))
HOST_PROGRAM := $(HOST_BUILD)/virtual-board

HOST_SKETCH := $(or $(SKETCH),$(wildcard src/*.cpp))
HOST_SOURCES := $(wildcard host/src/*.cpp) $(CORE_SOURCES) $(HOST_SKETCH)
HOST_INCLUDES := -Ihost/arduino -Ihost/src $(INCLUDES)
HOST_DEFINES := -DARDUINO=10819 -DESP32 -DARDUINO_ARCH_ESP32 -DVOICE_BOARD_$(BOARD)
HOST_LIBRARIES := -lssl -lcrypto
HOST_SANITIZERS := $(if $(SANITIZE),$(SANITIZERS))

# Of other people's code the warnings are theirs.
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
ifneq ($(TLS),)
HOST_DEFINES += -DVOICE_TLS
HOST_INCLUDES += -I$(TLS)
endif

HOST_OBJECTS := $(HOST_SOURCES:%=$(HOST_BUILD)/%.o)
HOST_FOREIGN_OBJECTS := $(foreach source,$(HOST_FOREIGN),$(HOST_BUILD)/foreign/$(notdir $(source)).o)
HOST_FLAGS := $(STANDARD) -g -O1 -MMD -MP $(HOST_SANITIZERS) $(HOST_DEFINES) $(HOST_INCLUDES)

.PHONY: host
host: $(HOST_PROGRAM) ## Build the virtual board: the firmware as a Linux program (host/README.md)
	@echo "built firmware/$(HOST_PROGRAM); try it with --help"

$(HOST_PROGRAM): $(HOST_OBJECTS) $(HOST_FOREIGN_OBJECTS)
	@echo "  link $@"
	$(Q)$(CXX) $(HOST_SANITIZERS) $^ $(HOST_LIBRARIES) -o $@

$(HOST_OBJECTS): $(HOST_BUILD)/%.o: % Makefile host/host.mk
	@mkdir -p $(@D)
	@echo "  compile $@"
	$(Q)$(CXX) $(WARNINGS) $(HOST_FLAGS) -include Arduino.h -x c++ -c $< -o $@

define HOST_FOREIGN_RULE
$(HOST_BUILD)/foreign/$(notdir $(1)).o: $(1) Makefile host/host.mk
	@mkdir -p $$(@D)
	@echo "  compile $$@"
	$$(Q)$$(CXX) -w $$(HOST_FLAGS) -c $$< -o $$@
endef
$(foreach source,$(HOST_FOREIGN),$(eval $(call HOST_FOREIGN_RULE,$(source))))

-include $(HOST_OBJECTS:.o=.d) $(HOST_FOREIGN_OBJECTS:.o=.d)
