// The golden vectors that the gateway's tests read too (tests/vectors/README.md).
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "voice_core/adpcm.h"
#include "voice_core/frame.h"
#include "voice_core/topics.h"

using namespace voice;
using nlohmann::json;

namespace {

// The rows of one list of one file, of which there is at least one.
json rows(const char* file, const char* list) {
  std::ifstream stream(std::string(VECTORS_FOLDER) + "/" + file);
  REQUIRE_MESSAGE(stream.good(), file);
  json found = json::parse(stream).at(list);
  REQUIRE(!found.empty());
  return found;
}

std::vector<uint8_t> bytes_of(const json& hex) {
  const std::string text = hex.get<std::string>();
  // Of exactly that size from the beginning: the address sanitizer sees a read beyond it.
  std::vector<uint8_t> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); i++) {
    bytes[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
  }
  return bytes;
}

Verdict verdict_of(const json& row) {
  const std::vector<uint8_t> payload = bytes_of(row["hex"]);
  Frame frame;
  return decode_frame(payload.data(), payload.size(), frame);
}

void check_frame(const json& row) {
  CAPTURE(row.dump());
  const std::vector<uint8_t> payload = bytes_of(row["hex"]);
  const std::vector<uint8_t> audio = bytes_of(row["audio"]);
  Frame frame;
  REQUIRE(decode_frame(payload.data(), payload.size(), frame) == Verdict::Frame);
  CHECK(frame.turn == row["turn"]);
  CHECK(frame.seq == row["seq"]);
  CHECK(frame.flags == row["flags"]);
  CHECK(static_cast<int>(frame.codec) == row["codec"]);
  CHECK(frame.rate == row["rate"]);
  CHECK(std::vector<uint8_t>(frame.audio, frame.audio + frame.audio_size) == audio);

  FrameHeader header;
  header.turn = row["turn"];
  header.seq = row["seq"];
  header.flags = row["flags"];
  header.codec = static_cast<Codec>(row["codec"].get<int>());
  header.rate = row["rate"];
  std::vector<uint8_t> encoded(frame_header_size);
  encode_header(header, encoded.data());
  encoded.insert(encoded.end(), audio.begin(), audio.end());
  CHECK(encoded == payload);
}

}  // namespace

TEST_CASE("vectors: frames of both directions") {
  for (const json& row : rows("frames.json", "frames")) check_frame(row);
  for (const json& row : rows("frames.json", "downlink_frames")) check_frame(row);
}

TEST_CASE("vectors: payloads that are no frame, or no good one") {
  for (const json& row : rows("rejected_frames.json", "bad_frame")) {
    CAPTURE(row.dump());
    CHECK(verdict_of(row) == Verdict::BadFrame);
  }
  for (const json& row : rows("rejected_frames.json", "not_a_frame")) {
    CAPTURE(row.dump());
    CHECK(verdict_of(row) == Verdict::NotAFrame);
  }
  // Of these only the direction or the audio is wrong.
  for (const char* list : {"bad_frame_uplink_only", "bad_audio"}) {
    for (const json& row : rows("rejected_frames.json", list)) {
      CAPTURE(row.dump());
      CHECK(verdict_of(row) == Verdict::Frame);
    }
  }
}

TEST_CASE("vectors: ADPCM blocks and their samples") {
  for (const json& row : rows("adpcm.json", "decode")) {
    CAPTURE(row.dump());
    const std::vector<uint8_t> block = bytes_of(row["hex"]);
    const std::vector<int16_t> expected = row["samples"];
    std::vector<int16_t> samples(expected.size());
    size_t count = 9999;
    REQUIRE(adpcm_decode(block.data(), block.size(), samples.data(), samples.size(), count));
    CHECK(count == expected.size());
    CHECK(samples == expected);
  }
}

TEST_CASE("vectors: samples and their ADPCM blocks") {
  for (const json& row : rows("adpcm.json", "encode")) {
    CAPTURE(row.dump());
    AdpcmEncoder encoder(row["predictor"], row["index"]);
    const std::vector<int16_t> samples = row["samples"];
    std::vector<uint8_t> block(adpcm_block_size(samples.size()));
    CHECK(encoder.encode(samples.data(), samples.size(), block.data()) == block.size());
    CHECK(block == bytes_of(row["hex"]));
    CHECK(encoder.predictor() == row["next_predictor"]);
    CHECK(encoder.index() == row["next_index"]);
  }
}

TEST_CASE("vectors: ADPCM blocks that are refused") {
  for (const json& row : rows("adpcm.json", "rejected")) {
    CAPTURE(row.dump());
    const std::vector<uint8_t> block = bytes_of(row["hex"]);
    int16_t samples[16];
    size_t count = 0;
    CHECK_FALSE(adpcm_decode(block.data(), block.size(), samples, 16, count));
  }
}

TEST_CASE("vectors: which turn is newer, and which comes next") {
  for (const json& row : rows("turns.json", "newer")) {
    CAPTURE(row.dump());
    CHECK(is_newer(row["new"], row["old"]) == row["newer"].get<bool>());
  }
  for (const json& row : rows("turns.json", "after")) {
    CAPTURE(row.dump());
    CHECK(next_turn(row["turn"]) == row["after"]);
  }
}

TEST_CASE("vectors: ids that a device may have") {
  Topics topics;
  for (const json& row : rows("device_ids.json", "accepted")) {
    const std::string id = row["spelling"];
    CAPTURE(id);
    CHECK(valid_device_id(id.c_str()));
    CHECK(topics.set("voice", id.c_str()));
    CHECK(topics.in() == "voice/" + id + "/in");
  }
  for (const json& row : rows("device_ids.json", "refused")) {
    const std::string id = row["spelling"];
    CAPTURE(row.dump());
    CHECK_FALSE(valid_device_id(id.c_str()));
    CHECK_FALSE(topics.set("voice", id.c_str()));
  }
}
