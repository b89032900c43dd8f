#include "node_helpers.h"

using namespace voice;

TEST_CASE("node: says who it is, retained, at every connect") {
  World world;
  NodeOptions options = world.options();
  options.name = "Cocina \"grande\"";
  options.firmware = "1.2.3";
  options.board = "esp32-s3";
  options.language = "es";
  options.max_packet = 4096;
  REQUIRE(world.begin(options));
  CHECK(world.node.state() == State::Offline);
  CHECK(world.node.indication() == Indication::Offline);
  world.run(100);
  CHECK(world.link.published.empty());
  world.link_up();
  CHECK(world.node.state() == State::Idle);
  REQUIRE(world.link.published.size() == 2);
  CHECK(world.link.published[0].topic == "voice/a4cf128b3f9e/online");
  CHECK(world.link.published[0].text() == "online");
  CHECK(world.link.published[0].retained);
  CHECK(world.link.published[1].topic == "voice/a4cf128b3f9e/hello");
  CHECK(world.link.published[1].retained);
  CHECK(Json::parse(world.link.published[1].text()) == Json::parse(R"({
      "v": 1, "name": "Cocina \"grande\"", "firmware": "1.2.3", "board": "esp32-s3", "max_packet": 4096,
      "buffer_ms": 2000, "codecs": ["pcm", "adpcm"], "rate": 16000, "reply": {"rate": 24000, "bitrate_kbps": 32},
      "language": "es"})"));
  world.link_down();
  CHECK(world.node.state() == State::Offline);
  world.link_up();
  CHECK(world.link.published.size() == 4);
}

TEST_CASE("node: at every connect it says how strong the signal is then, if that is known") {
  World world;
  world.begin();
  const auto said_of = [&world](int8_t rssi) {
    world.link_up(rssi);
    const Json hello = Json::parse(world.published_on(world.node.topics().hello()).back().text());
    world.link_down();
    return hello;
  };
  const Json unknown = said_of(0);
  CHECK_FALSE(unknown.contains("rssi"));
  for (const int8_t rssi : {int8_t{-67}, int8_t{-128}, int8_t{-5}}) {
    Json expected = unknown;
    expected["rssi"] = rssi;
    CHECK(said_of(rssi) == expected);
  }
  CHECK(said_of(0) == unknown);
}

TEST_CASE("node: the strength of the signal is said however late the link takes it") {
  World world;
  world.begin();
  world.link.refuses = true;
  world.node.link_up(world.now, -67);
  world.run(50);
  world.link.refuses = false;
  world.run(50);
  REQUIRE(world.link.published.size() == 2);
  CHECK(Json::parse(world.link.published[1].text())["rssi"] == -67);
}

TEST_CASE("node: what it says at a connect is said again until the link takes it") {
  World world;
  world.begin();
  world.link.refuses = true;
  world.node.link_up(world.now, 0);
  world.run(50);
  CHECK(world.link.published.empty());
  world.link.refuses = false;
  world.run(50);
  CHECK(world.link.published.size() == 2);
}

TEST_CASE("node: options that cannot work are refused, and the node then does nothing") {
  const auto refused = [](const std::function<void(NodeOptions&)>& spoil) {
    World world;
    NodeOptions options = world.options();
    spoil(options);
    if (world.begin(options)) return false;
    world.link_up();
    world.press();
    world.run(500);
    world.release();
    return world.link.published.empty() && world.node.state() == State::Offline;
  };
  CHECK(refused([](NodeOptions& o) { o.device_id = ""; }));
  CHECK(refused([](NodeOptions& o) { o.device_id = "gateway"; }));
  CHECK(refused([](NodeOptions& o) { o.device_id = "a/b"; }));
  CHECK(refused([](NodeOptions& o) { o.root = "voice/#"; }));
  CHECK(refused([](NodeOptions& o) { o.codec = Codec::Opus; }));
  CHECK(refused([](NodeOptions& o) { o.first_turn = 0; }));
  CHECK(refused([](NodeOptions& o) { o.first_turn = 0x8000; }));
  CHECK(refused([](NodeOptions& o) { o.max_packet = 256; }));
}

TEST_CASE("node: the whole device fits into its RAM budget, with room to spare") { CHECK(sizeof(Node) <= 56 * 1024); }
