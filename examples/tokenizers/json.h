// Reads JSON into a tree of values. Standard library only.
#pragma once

#include <cstdint>
#include <cstring>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace keras_s2s {

// A value: `text` of a string, `number` of a number (true is 1; false and null are 0), `items` of a
// list or an object, and `names` of the items of an object.
struct Json {
  bool is_null = false;
  double number = 0;
  std::string text;
  std::vector<std::string> names;
  std::vector<Json> items;

  bool Has(const std::string& name) const { return Find(name) != nullptr; }

  const Json& At(const std::string& name) const {
    const Json* found = Find(name);
    if (found == nullptr) throw std::runtime_error("the JSON object has no \"" + name + "\"");
    return *found;
  }

 private:
  const Json* Find(const std::string& name) const {
    for (size_t place = 0; place < names.size(); ++place) {
      if (names[place] == name) return &items[place];
    }
    return nullptr;
  }
};

class JsonReader {
 public:
  // Returns the value that a text consists of. Throws std::runtime_error if it is not JSON.
  static Json Read(const std::string& text) {
    JsonReader reader(text);
    Json value = reader.ReadValue();
    if (reader.Next() != '\0' || reader.at_ < text.size()) reader.Fail();
    return value;
  }

 private:
  explicit JsonReader(const std::string& text) : text_(text) {}

  [[noreturn]] void Fail() const {
    throw std::runtime_error("not JSON, at byte " + std::to_string(at_));
  }

  // Skips white space and returns the next character, or 0 at the end.
  char Next() {
    while (at_ < text_.size() && std::strchr(" \t\n\r", text_[at_]) != nullptr &&
           text_[at_] != '\0') {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void Expect(char character) {
    if (Next() != character) Fail();
    ++at_;
  }

  Json ReadValue() {
    Json value;
    switch (Next()) {
      case '"':
        value.text = ReadString();
        return value;
      case '[':
      case '{':
        return ReadItems();
      case 't':
        value.number = 1;
        ReadWord("true");
        return value;
      case 'f':
        ReadWord("false");
        return value;
      case 'n':
        value.is_null = true;
        ReadWord("null");
        return value;
      default:
        value.number = ReadNumber();
        return value;
    }
  }

  void ReadWord(const std::string& word) {
    if (text_.compare(at_, word.size(), word) != 0) Fail();
    at_ += word.size();
  }

  // Independent of the program's locale, unlike strtod.
  double ReadNumber() {
    const size_t end = text_.find_first_not_of("+-.0123456789eE", at_);
    std::istringstream digits(text_.substr(at_, end - at_));
    digits.imbue(std::locale::classic());
    double number = 0;
    if (!(digits >> number)) Fail();
    at_ = end == std::string::npos ? text_.size() : end;
    return number;
  }

  Json ReadItems() {
    Json value;
    const bool is_object = text_[at_] == '{';
    const char end = is_object ? '}' : ']';
    ++at_;
    if (Next() == end) {
      ++at_;
      return value;
    }
    while (true) {
      if (is_object) {
        if (Next() != '"') Fail();
        value.names.push_back(ReadString());
        Expect(':');
      }
      value.items.push_back(ReadValue());
      if (Next() == end) break;
      Expect(',');
    }
    ++at_;
    return value;
  }

  std::string ReadString() {
    std::string found;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] != '\\') {
        found += text_[at_];
        continue;
      }
      if (++at_ >= text_.size()) Fail();
      if (text_[at_] == 'u') {
        AppendUtf8(ReadEscape(), &found);
      } else {
        static const char kEscapes[] = "n\nt\tr\rb\bf\f";
        const char* place = std::strchr(kEscapes, text_[at_]);
        found += place == nullptr || *place == '\0' ? text_[at_] : place[1];
      }
    }
    if (at_ >= text_.size()) Fail();
    ++at_;
    return found;
  }

  // Reads the code point of an escape such as \u00e9, or of two that are a surrogate pair.
  uint32_t ReadEscape() {
    const uint32_t code = ReadHex();
    if (code < 0xD800 || code > 0xDBFF) return code;
    if (text_.compare(at_ + 1, 2, "\\u") != 0) Fail();
    at_ += 2;
    return 0x10000 + ((code & 0x3FF) << 10) + (ReadHex() & 0x3FF);
  }

  // Reads the four digits after a "u"; stops at the last one.
  uint32_t ReadHex() {
    uint32_t code = 0;
    for (int count = 0; count < 4; ++count) {
      static const char kDigits[] = "0123456789abcdef0123456789ABCDEF";
      const char* place =
          ++at_ < text_.size() ? std::strchr(kDigits, text_[at_]) : nullptr;
      if (place == nullptr || *place == '\0') Fail();
      code = code * 16 + static_cast<uint32_t>(place - kDigits) % 16;
    }
    return code;
  }

  static void AppendUtf8(uint32_t code, std::string* text) {
    const auto append = [text](uint32_t byte) { *text += static_cast<char>(byte); };
    if (code < 0x80) {
      append(code);
      return;
    }
    const int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    append((following == 1 ? 0xC0 : following == 2 ? 0xE0 : 0xF0) | code >> (6 * following));
    for (int place = following - 1; place >= 0; --place) {
      append(0x80 | (code >> (6 * place) & 0x3F));
    }
  }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace keras_s2s
