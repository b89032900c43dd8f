#include <doctest/doctest.h>

#include <climits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "random.h"
#include "voice_core/json.h"

using namespace voice;
using nlohmann::json;

namespace {

// Each finds `key` in a copy of exactly the text's size: the address sanitizer sees a read beyond it.

bool find_string(const std::string& text, const char* key, std::string& out, size_t capacity = 256) {
  const std::vector<char> exact(text.begin(), text.end());
  std::vector<char> buffer(capacity, '~');
  const bool found = json_find_string(exact.data(), exact.size(), key, buffer.data(), capacity);
  out = buffer.data();
  if (!found) CHECK(out.empty());
  return found;
}

bool find_int(const std::string& text, const char* key, int32_t& out) {
  const std::vector<char> exact(text.begin(), text.end());
  return json_find_int(exact.data(), exact.size(), key, out);
}

std::string string_at(const std::string& text, const char* key = "k") {
  std::string out;
  REQUIRE_MESSAGE(find_string(text, key, out), text);
  return out;
}

int32_t int_at(const std::string& text, const char* key = "k") {
  int32_t out = 0;
  REQUIRE_MESSAGE(find_int(text, key, out), text);
  return out;
}

// A string of any characters but NUL, some of which need an escape or several bytes.
std::string made_up_text(Random& random) {
  static const char* const pieces[] = {"a",  "Z",    " ",    "\"",   "\\", "/", "\n",
                                       "\t", "\x01", "\x1f", "\x7f", "ñ",  "€", "😀"};
  std::string text;
  for (uint32_t i = random.below(12); i > 0; i--) text += pieces[random.below(14)];
  return text;
}

json made_up_value(Random& random, int depth) {
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return random.between(INT_MIN / 2, INT_MAX / 2);
    case 1:
      return random.below(2) == 1;
    case 2:
      return nullptr;
    case 3:
      return random.between(-1000, 1000) / 8.0;
    case 4:
    case 5:
      return made_up_text(random);
    case 6: {
      json array = json::array();
      for (uint32_t i = random.below(4); i > 0; i--) array.push_back(made_up_value(random, depth - 1));
      return array;
    }
    default: {
      json object = json::object();
      for (uint32_t i = random.below(4); i > 0; i--) object[made_up_text(random)] = made_up_value(random, depth - 1);
      return object;
    }
  }
}

json made_up_object(Random& random) {
  json object = json::object();
  for (uint32_t i = random.below(6); i > 0; i--) object[made_up_text(random)] = made_up_value(random, 4);
  return object;
}

}  // namespace

TEST_CASE("json reader: finds values of each kind at the top level") {
  const std::string text =
      R"( { "event" : "done","turn":7,"flag":true,"nested":{"event":"inner","turn":8},"list":[{"turn":9}],"off":false } )";
  CHECK(string_at(text, "event") == "done");
  CHECK(int_at(text, "turn") == 7);
  bool flag = false;
  CHECK(json_find_bool(text.data(), text.size(), "flag", flag));
  CHECK(flag);
  CHECK(json_find_bool(text.data(), text.size(), "off", flag));
  CHECK_FALSE(flag);
}

TEST_CASE("json reader: a value of another kind, or none, is not found") {
  const std::string text = R"({"s":"7","i":7,"b":true,"n":null,"o":{"x":"y"},"a":["x"],"f":7.5,"e":7e2})";
  std::string out;
  int32_t number;
  bool flag;
  for (const char* key : {"i", "b", "n", "o", "a", "f", "x", "", "none"}) {
    CAPTURE(key);
    CHECK_FALSE(find_string(text, key, out));
  }
  for (const char* key : {"s", "b", "n", "o", "a", "f", "e", "none"}) {
    CAPTURE(key);
    CHECK_FALSE(find_int(text, key, number));
  }
  for (const char* key : {"s", "i", "n", "o", "a", "none"}) {
    CAPTURE(key);
    CHECK_FALSE(json_find_bool(text.data(), text.size(), key, flag));
  }
}

TEST_CASE("json reader: escapes become UTF-8") {
  CHECK(string_at(R"({"k":"\"\\\/\b\f\n\r\t"})") == "\"\\/\b\f\n\r\t");
  CHECK(string_at(R"({"k":"\u0041\u00f1\u20AC\uD83D\ude00"})") == "Añ€😀");
  CHECK(string_at(R"({"k":"ñ€😀"})") == "ñ€😀");
  CHECK(string_at(R"({"\u006b":"escaped key"})") == "escaped key");
}

TEST_CASE("json reader: half a surrogate pair is a replacement character") {
  CHECK(string_at(R"({"k":"\ud83d"})") == "\uFFFD");
  CHECK(string_at(R"({"k":"\ude00!"})") == "\uFFFD!");
  CHECK(string_at(R"({"k":"\ud83d\n"})") == "\uFFFD\n");
  CHECK(string_at(R"({"k":"\ud83d\u0041"})") == "\uFFFDA");
  CHECK(string_at(R"({"k":"\ud83d\ud83d\ude00"})") == "\uFFFD😀");
}

TEST_CASE("json reader: a string that does not fit, or holds a NUL, is refused") {
  std::string out;
  CHECK(find_string(R"({"k":"four"})", "k", out, 5));
  CHECK_FALSE(find_string(R"({"k":"four"})", "k", out, 4));
  CHECK_FALSE(find_string(R"({"k":"fo€"})", "k", out, 5));
  CHECK(find_string(R"({"k":""})", "k", out, 1));
  CHECK_FALSE(find_string(R"({"k":"a\u0000b"})", "k", out));
  CHECK_FALSE(json_find_string(R"({"k":""})", 8, "k", nullptr, 0));
}

TEST_CASE("json reader: whole numbers up to their limits") {
  CHECK(int_at(R"({"k":0})") == 0);
  CHECK(int_at(R"({"k":-0})") == 0);
  CHECK(int_at(R"({"k":2147483647})") == INT_MAX);
  CHECK(int_at(R"({"k":-2147483648})") == INT_MIN);
  int32_t number = 5;
  for (const char* text : {R"({"k":2147483648})", R"({"k":-2147483649})", R"({"k":99999999999999999999})",
                           R"({"k":1.0})", R"({"k":1e1})"}) {
    CAPTURE(text);
    CHECK_FALSE(find_int(text, "k", number));
  }
  CHECK(number == 5);
}

TEST_CASE("json reader: of two equal keys the last counts") {
  CHECK(int_at(R"({"k":1,"k":2})") == 2);
  int32_t number;
  CHECK_FALSE(find_int(R"({"k":1,"k":"x"})", "k", number));
}

TEST_CASE("json reader: what is not one whole JSON object is refused, even after the key") {
  std::string out;
  for (const char* text : {
           "",
           " ",
           "null",
           "7",
           R"("k")",
           R"(["k","v"])",
           "{",
           "}",
           R"({"k":"v")",
           R"({"k":"v"}})",
           R"({"k":"v"} {})",
           R"({"k":"v"}x)",
           R"({"k":"v",})",
           R"({,"k":"v"})",
           R"({"k":"v" "l":1})",
           R"({"k":"v","l"})",
           R"({"k":"v","l":})",
           R"({"k":"v","l":1 2})",
           R"({"k":"v",l:1})",
           R"({'k':'v'})",
           R"({"k" "v"})",
           R"({"k"="v"})",
           R"({"k":"v","l":[1,]})",
           R"({"k":"v","l":[,1]})",
           R"({"k":"v","l":[1 2]})",
           R"({"k":"v","l":[1}})",
           R"({"k":"v","l":{"m":1]})",
           R"({"k":"v","l":{1:1}})",
           R"({"k":"v","l":01})",
           R"({"k":"v","l":+1})",
           R"({"k":"v","l":.5})",
           R"({"k":"v","l":1.})",
           R"({"k":"v","l":1e})",
           R"({"k":"v","l":-})",
           R"({"k":"v","l":0x10})",
           R"({"k":"v","l":nul})",
           R"({"k":"v","l":True})",
           R"({"k":"v","l":NaN})",
           R"({"k":"v","l":Infinity})",
           R"({"k":"v","l":"\x41"})",
           R"({"k":"v","l":"\u12g4"})",
           R"({"k":"v","l":"\u12)",
           R"({"k":"v","l":"\)",
           "{\"k\":\"v\",\"l\":\"line\nend\"}",
           "{\"k\":\"v\",\"l\":\"\xff\"}",
           "{\"k\":\"v\",\"l\":\"\xc0\xaf\"}",
           "{\"k\":\"v\",\"l\":\"\xed\xa0\x80\"}",
           "{\"k\":\"v\",\"l\":\"\xf4\x90\x80\x80\"}",
           "{\"k\":\"v\",\"l\":\"\xe2\x82\"}",
           "\xef\xbb\xbf{\"k\":\"v\"}",
       }) {
    CAPTURE(text);
    CHECK_FALSE(find_string(text, "k", out));
  }
}

TEST_CASE("json reader: finds an object, to be read in turn, whatever stands around it") {
  const std::string text = R"({"last":7,"k":"{\"last\":{}}","o":{"last":{"x":0}}, "last" : { "turn" : 7, "a":[{}] } })";
  const char* inner = nullptr;
  size_t size = 0;
  REQUIRE(json_find_object(text.data(), text.size(), "last", inner, size));
  CHECK(std::string(inner, size) == R"({ "turn" : 7, "a":[{}] })");
  CHECK(int_at(std::string(inner, size), "turn") == 7);
  const char* const before = inner;
  for (const char* none : {R"({"last":null})", R"({"last":[{}]})", R"({"last":"{}"})", R"({"o":{"last":{}}})",
                           R"({"last":{"turn":7})", R"({"last":{"turn":}})", R"({"last":{}} x)", ""}) {
    CAPTURE(none);
    CHECK_FALSE(json_find_object(none, strlen(none), "last", inner, size));
    CHECK(inner == before);
  }
}

TEST_CASE("json reader: nesting to 32 levels and no deeper, without a stack that grows") {
  const auto nested = [](size_t levels, const char* open, const char* close) {
    std::string text = R"({"k":1,"deep":)";
    for (size_t i = 1; i < levels; i++) text += open;
    text += "2";
    for (size_t i = 1; i < levels; i++) text += close;
    return text + "}";
  };
  CHECK(int_at(nested(32, "[", "]")) == 1);
  CHECK(int_at(nested(32, "{\"k\":", "}")) == 1);
  int32_t number;
  CHECK_FALSE(find_int(nested(33, "[", "]"), "k", number));
  CHECK_FALSE(find_int(nested(100000, "[", "]"), "k", number));
  CHECK_FALSE(find_int(R"({"k":1,"deep":)" + std::string(100000, '['), "k", number));
}

TEST_CASE("json reader: agrees with another reader on made-up objects") {
  Random random(1);
  for (int i = 0; i < 4000; i++) {
    const json object = made_up_object(random);
    const std::string text = object.dump(random.below(2) == 0 ? -1 : 2, ' ', random.below(2) == 0);
    CAPTURE(text);
    for (const auto& [key, value] : object.items()) {
      std::string out;
      int32_t number;
      bool flag;
      REQUIRE(find_string(text, key.c_str(), out) == value.is_string());
      if (value.is_string()) REQUIRE(out == value.get<std::string>());
      REQUIRE(find_int(text, key.c_str(), number) == value.is_number_integer());
      if (value.is_number_integer()) REQUIRE(number == value.get<int32_t>());
      REQUIRE(json_find_bool(text.data(), text.size(), key.c_str(), flag) == value.is_boolean());
      if (value.is_boolean()) REQUIRE(flag == value.get<bool>());
    }
  }
}

TEST_CASE("json reader: every object cut short is refused") {
  Random random(2);
  std::string out;
  for (int i = 0; i < 200; i++) {
    json object = made_up_object(random);
    object["k"] = "v";
    const std::string text = object.dump();
    for (size_t size = 0; size < text.size(); size++) {
      REQUIRE_FALSE(find_string(text.substr(0, size), "k", out));
    }
  }
}

TEST_CASE("json reader: accepts a damaged object only where another reader does, with the same value") {
  Random random(3);
  int accepted = 0;
  for (int i = 0; i < 20000; i++) {
    json object = made_up_object(random);
    object["k"] = made_up_text(random);
    std::string text = object.dump(-1, ' ', random.below(2) == 0);
    for (uint32_t changes = 1 + random.below(3); changes > 0; changes--) {
      text[random.below(static_cast<uint32_t>(text.size()))] = static_cast<char>(random.below(256));
    }
    std::string out;
    if (!find_string(text, "k", out)) continue;
    // Half a surrogate pair is the one thing that the other reader is stricter about.
    if (text.find("\\ud") != std::string::npos) continue;
    accepted++;
    CAPTURE(text);
    const json other = json::parse(text, nullptr, false);
    REQUIRE_FALSE(other.is_discarded());
    REQUIRE(other["k"] == out);
  }
  // Else nothing has been shown.
  CHECK(accepted > 300);
}

TEST_CASE("json writer: nests, separates and escapes") {
  char buffer[256];
  JsonWriter writer(buffer, sizeof(buffer));
  writer.begin_object().integer("v", 1).string("name", "a \"b\" \\ \n \x01 ñ");
  writer.begin_array("list").element("x").element("y").end_array().begin_array("none").end_array();
  writer.begin_object("sub").boolean("yes", true).boolean("no", false).end_object();
  writer.integer("least", INT_MIN).integer("most", INT_MAX).integer("zero", 0).end_object();
  REQUIRE(writer.ok());
  CHECK(std::string(buffer, writer.size()) ==
        R"({"v":1,"name":"a \"b\" \\ \u000a \u0001 ñ","list":["x","y"],"none":[],"sub":{"yes":true,"no":false},)"
        R"("least":-2147483648,"most":2147483647,"zero":0})");
  CHECK(buffer[writer.size()] == '\0');
}

TEST_CASE("json writer: text that is no UTF-8 does not spoil the message") {
  char buffer[256];
  JsonWriter writer(buffer, sizeof(buffer));
  // As a terminal set to Latin-1 sends it.
  writer.begin_object().string("name", "Sal\xf3n").string("cut", "\xe2\x82").string("long", "\xc0\xaf").end_object();
  REQUIRE(writer.ok());
  const json read = json::parse(std::string(buffer, writer.size()));
  CHECK(read["name"] == "Sal\uFFFDn");
  CHECK(read["cut"] == "\uFFFD\uFFFD");
  CHECK(read["long"] == "\uFFFD\uFFFD");
}

TEST_CASE("json writer: a buffer that is too small is told, and nothing is written beyond it") {
  const auto write = [](char* buffer, size_t capacity) {
    JsonWriter writer(buffer, capacity);
    writer.begin_object().string("k", "ñ\n").integer("n", -5).boolean("b", true).end_object();
    CHECK(writer.ok() == (writer.size() > 0));
    return writer.size();
  };
  char whole[64];
  const size_t size = write(whole, sizeof(whole));
  REQUIRE(size > 0);
  for (size_t capacity = 1; capacity <= size + 1; capacity++) {
    std::vector<char> exact(capacity);
    CHECK(write(exact.data(), capacity) == (capacity == size + 1 ? size : 0));
    CHECK(std::string(exact.data()).size() < capacity);
  }
}

TEST_CASE("json: what is written is read back") {
  Random random(4);
  for (int i = 0; i < 5000; i++) {
    const std::string text = made_up_text(random);
    const int32_t number = static_cast<int32_t>(random.below(0xFFFFFFFF));
    char buffer[512];
    JsonWriter writer(buffer, sizeof(buffer));
    writer.begin_object().string("text", text.c_str()).integer("number", number).end_object();
    REQUIRE(writer.ok());
    const std::string written(buffer, writer.size());
    CHECK(string_at(written, "text") == text);
    CHECK(int_at(written, "number") == number);
  }
}
