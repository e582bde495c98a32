// Answers the tests of examples/tokenizers/tokenizer.h: ./ask FOLDER < questions > answers
//
// Both are JSON. The questions are "texts", in hexadecimal, and "rows" of ids; the answers are the
// "ids" of the texts and the "texts" of the rows, in hexadecimal.

#include <cstdio>
#include <exception>
#include <iostream>
#include <iterator>

#include "tokenizer.h"

namespace {

std::string FromHex(const std::string& digits) {
  std::string text;
  for (size_t place = 0; place < digits.size(); place += 2) {
    text += static_cast<char>(std::stoi(digits.substr(place, 2), nullptr, 16));
  }
  return text;
}

void Answer(const std::string& folder) {
  const auto source = keras_s2s::LoadTokenizer(folder, "source");
  const auto target = keras_s2s::LoadTokenizer(folder, "target");
  const std::string given(std::istreambuf_iterator<char>(std::cin), {});
  const keras_s2s::Json questions = keras_s2s::JsonReader::Read(given);
  const char* comma = "{\"ids\": [";
  for (const keras_s2s::Json& text : questions.At("texts").items) {
    std::printf("%s[", comma);
    comma = "";
    for (const int32_t id : source.Tokenize(FromHex(text.text))) {
      std::printf("%s%d", comma, id);
      comma = ", ";
    }
    std::printf("]");
    comma = ",\n";
  }
  comma = "],\n\"texts\": [";
  for (const keras_s2s::Json& row : questions.At("rows").items) {
    std::vector<int32_t> ids;
    for (const keras_s2s::Json& id : row.items) ids.push_back(static_cast<int32_t>(id.number));
    std::printf("%s\"", comma);
    for (const unsigned char byte : target.Detokenize(ids)) std::printf("%02x", byte);
    std::printf("\"");
    comma = ", ";
  }
  std::printf("]}\n");
}

}  // namespace

int main(int, char** argv) {
  try {
    Answer(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return 0;
}
