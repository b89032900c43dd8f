// What the tests of the whole node ask of the world around it.
#ifndef VOICE_TEST_NODE_HELPERS_H
#define VOICE_TEST_NODE_HELPERS_H

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "fakes.h"

using Json = nlohmann::json;

constexpr uint32_t chunk_ms = 10 * mp3::frame_ms;  // of reply()

inline std::vector<mp3::Name> names(uint16_t turn, uint16_t count) {
  std::vector<mp3::Name> made;
  for (uint16_t i = 0; i < count; ++i) made.push_back({turn, i});
  return made;
}

inline Json control_of(const World& world, size_t index) { return Json::parse(world.control().at(index).text()); }

// The error tone sounds or has sounded, `count` times so far.
inline bool failed_audibly(World& world, uint32_t count = 1) {
  world.run(1500);
  return world.node.counters().tones == count && world.speaker.tone_samples > 0;
}

#endif
