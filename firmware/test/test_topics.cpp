#include <doctest/doctest.h>

#include <string>

#include "voice_core/topics.h"

using namespace voice;

TEST_CASE("topics: each under the root and the device") {
  Topics topics;
  REQUIRE(topics.set("home/voice", "ESP32-KITCHEN-001"));
  CHECK(std::string(topics.in()) == "home/voice/ESP32-KITCHEN-001/in");
  CHECK(std::string(topics.out()) == "home/voice/ESP32-KITCHEN-001/out");
  CHECK(std::string(topics.hello()) == "home/voice/ESP32-KITCHEN-001/hello");
  CHECK(std::string(topics.control()) == "home/voice/ESP32-KITCHEN-001/control");
  CHECK(std::string(topics.event()) == "home/voice/ESP32-KITCHEN-001/event");
  CHECK(std::string(topics.state()) == "home/voice/ESP32-KITCHEN-001/state");
  CHECK(std::string(topics.online()) == "home/voice/ESP32-KITCHEN-001/online");
}

TEST_CASE("topics: the longest root and id fit whole") {
  const std::string root(config::root_length, 'r');
  const std::string id(config::device_id_length, 'd');
  Topics topics;
  REQUIRE(topics.set(root.c_str(), id.c_str()));
  CHECK(topics.control() == root + "/" + id + "/control");
  CHECK(std::string(topics.control()).size() == config::topic_length);
}

TEST_CASE("topics: a refused root or id leaves the topics as they were") {
  Topics topics;
  CHECK(std::string(topics.in()).empty());
  REQUIRE(topics.set("voice", "one"));
  CHECK_FALSE(topics.set("voice", "gateway"));
  CHECK_FALSE(topics.set("voice/#", "two"));
  CHECK(std::string(topics.in()) == "voice/one/in");
}

TEST_CASE("topics: roots") {
  for (const char* root : {"voice", "home/voice", "a/b/c", "casa-ñ", "my root", "a$b"}) {
    CAPTURE(root);
    CHECK(valid_root(root));
  }
  const std::string too_long(config::root_length + 1, 'r');
  for (const char* root : {"", "/voice", "voice/", "a//b", "+", "voice/#", "a+b", "$SYS", "a\nb", "a\x7f", "a\xff",
                           "cut \xc3", too_long.c_str()}) {
    CAPTURE(root);
    CHECK_FALSE(valid_root(root));
  }
}
