// Asks a LiteRT file from C++, without Python: spelling in, sounds out.
//
//   g++ -std=c++17 -O1 -o pronounce pronounce.cc -L$LITERT -l:libLiteRt.so -Wl,-rpath,$LITERT
//   ./pronounce g2p.tflite hello world
//
// with $LITERT the folder of the Python package ai_edge_litert, or of any other libLiteRt.so. It
// runs the signature "ids", which has built-in operations only, and takes the vocabularies from
// the file. For models from characters to words; README.md says what other tokenizers need.

#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "litert_runtime.h"

namespace {

constexpr int kPad = 0, kUnknown = 1, kBos = 2, kEos = 3, kNumSpecial = 4;

void Check(LiteRtStatus status, const std::string& what) {
  if (status != 0) throw std::runtime_error(what + ": LiteRT's status " + std::to_string(status));
}

// Appends a character (code point) in UTF-8.
void Append(unsigned code, std::string* text) {
  if (code < 0x80) {
    *text += static_cast<char>(code);
  } else if (code < 0x800) {
    *text += static_cast<char>(0xC0 | code >> 6);
    *text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    *text += static_cast<char>(0xE0 | code >> 12);
    *text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Reads a JSON list of strings: a vocabulary. Only control characters are escaped in it.
std::vector<std::string> ReadList(const std::string& json) {
  std::vector<std::string> found;
  for (size_t at = json.find('"'); at != std::string::npos; at = json.find('"', at + 1)) {
    std::string text;
    for (++at; at < json.size() && json[at] != '"'; ++at) {
      if (json[at] != '\\') {
        text += json[at];
      } else if (json[++at] == 'u') {
        Append(std::stoul(json.substr(at + 1, 4), nullptr, 16), &text);
        at += 4;
      } else {
        const char* place = std::strchr("n\nt\tr\rb\bf\f", json[at]);
        text += place == nullptr ? json[at] : place[1];
      }
    }
    found.push_back(text);
  }
  return found;
}

// Cuts UTF-8 into characters: a byte of the form 10xxxxxx continues one.
std::vector<std::string> Characters(const std::string& text) {
  std::vector<std::string> found;
  for (unsigned char byte : text) {
    if (found.empty() || (byte & 0xC0) != 0x80) found.emplace_back();
    found.back() += static_cast<char>(byte);
  }
  return found;
}

class Pronouncer {
 public:
  explicit Pronouncer(const std::string& path) {
    Check(LiteRtCreateEnvironment(0, nullptr, &environment_), "making the environment");
    Check(LiteRtCreateModelFromFile(environment_, path.c_str(), &model_), "loading " + path);
    const std::string card = Metadata("model_card.json");
    CheckTokenizer(card, "source", "CharTokenizer");
    CheckTokenizer(card, "target", "WordTokenizer");
    const std::vector<std::string> characters = ReadList(Metadata("source_vocabulary.json"));
    for (size_t id = kNumSpecial; id < characters.size(); ++id) ids_[characters[id]] = id;
    tokens_ = ReadList(Metadata("target_vocabulary.json"));
    FindSignature();
    LiteRtOptions options = nullptr;
    Check(LiteRtCreateOptions(&options), "making options");
    Check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu), "choosing CPU");
    Check(LiteRtCreateCompiledModel(environment_, model_, options, &compiled_), "preparing");
    LiteRtDestroyOptions(options);
  }

  ~Pronouncer() {
    if (compiled_ != nullptr) LiteRtDestroyCompiledModel(compiled_);
    if (model_ != nullptr) LiteRtDestroyModel(model_);
    if (environment_ != nullptr) LiteRtDestroyEnvironment(environment_);
  }

  Pronouncer(const Pronouncer&) = delete;
  Pronouncer& operator=(const Pronouncer&) = delete;

  // Gives the best target, and its score.
  std::string Ask(const std::string& text, float* score) {
    std::vector<int32_t> source_ids;
    for (const std::string& character : Characters(text)) {
      const auto found = ids_.find(character);
      source_ids.push_back(found == ids_.end() ? kUnknown : found->second);
    }
    source_ids.push_back(kEos);
    const int sizes[] = {1, static_cast<int>(source_ids.size())};
    Check(LiteRtCompiledModelResizeInputTensor(compiled_, signature_, 0, sizes, 2), "resizing");
    LiteRtTensorBuffer input = Buffer(kLiteRtElementTypeInt32, {sizes[0], sizes[1]});
    void* memory = nullptr;
    Check(LiteRtLockTensorBuffer(input, &memory, kLiteRtTensorBufferLockModeWrite), "writing");
    std::memcpy(memory, source_ids.data(), source_ids.size() * sizeof(int32_t));
    Check(LiteRtUnlockTensorBuffer(input), "writing");

    // How long the target will be is known only afterwards: there is room for the longest.
    std::vector<LiteRtTensorBuffer> outputs;
    for (const std::string& name : outputs_) {
      const bool is_int = name == "target_ids" || name == "lengths";
      const int element_type = is_int ? kLiteRtElementTypeInt32 : kLiteRtElementTypeFloat32;
      outputs.push_back(name == "target_ids"
                            ? Buffer(element_type, {1, kHypotheses, kLongest})
                            : Buffer(element_type, {1, kHypotheses}));
    }
    Check(LiteRtRunCompiledModel(compiled_, signature_, 1, &input, outputs.size(), outputs.data()),
          "running");
    const int32_t length = *Read<int32_t>(outputs, "lengths");
    *score = *Read<float>(outputs, "scores");
    const int32_t* target_ids = Read<int32_t>(outputs, "target_ids");
    std::string target;
    for (int32_t place = 0; place < length && target_ids[place] != kEos; ++place) {
      const int32_t id = target_ids[place];
      if (id == kPad || id == kBos) continue;
      if (!target.empty()) target += ' ';
      target += id == kUnknown ? "\u2047" : tokens_.at(id);
    }
    LiteRtDestroyTensorBuffer(input);
    for (LiteRtTensorBuffer output : outputs) LiteRtDestroyTensorBuffer(output);
    return target;
  }

 private:
  static constexpr int kHypotheses = 16, kLongest = 1000;

  std::string Metadata(const char* key) {
    const void* data = nullptr;
    size_t size = 0;
    Check(LiteRtGetModelMetadata(model_, key, &data, &size),
          std::string("not written by keras_s2s: no ") + key);
    return std::string(static_cast<const char*>(data), size);
  }

  static void CheckTokenizer(const std::string& card, const std::string& side,
                             const std::string& expected) {
    const size_t at = card.find('"' + side + "\": {");
    if (at == std::string::npos || card.find('"' + expected + '"', at) > card.find('}', at)) {
      throw std::runtime_error("this program is for a " + expected + " on the side of the " + side);
    }
  }

  void FindSignature() {
    LiteRtParamIndex count = 0;
    Check(LiteRtGetNumModelSignatures(model_, &count), "looking for signatures");
    for (signature_ = 0; signature_ < count; ++signature_) {
      LiteRtSignature signature = nullptr;
      const char* name = nullptr;
      Check(LiteRtGetModelSignature(model_, signature_, &signature), "looking for signatures");
      Check(LiteRtGetSignatureKey(signature, &name), "looking for signatures");
      if (std::string(name) != "ids") continue;
      Check(LiteRtGetNumSignatureOutputs(signature, &count), "looking for outputs");
      for (LiteRtParamIndex output = 0; output < count; ++output) {
        Check(LiteRtGetSignatureOutputName(signature, output, &name), "looking for outputs");
        outputs_.push_back(name);
      }
      return;
    }
    throw std::runtime_error("the file has no signature \"ids\"");
  }

  LiteRtTensorBuffer Buffer(int element_type, const std::vector<int>& sizes) {
    LiteRtRankedTensorType type = {};
    type.element_type = element_type;
    type.layout.rank = sizes.size();
    size_t bytes = 4;
    for (size_t axis = 0; axis < sizes.size(); ++axis) {
      type.layout.dimensions[axis] = sizes[axis];
      bytes *= sizes[axis];
    }
    LiteRtTensorBuffer buffer = nullptr;
    Check(LiteRtCreateManagedTensorBuffer(environment_, kLiteRtTensorBufferTypeHostMemory, &type,
                                          bytes, &buffer),
          "making a buffer");
    return buffer;
  }

  template <typename Element>
  const Element* Read(const std::vector<LiteRtTensorBuffer>& outputs, const std::string& name) {
    for (size_t place = 0; place < outputs_.size(); ++place) {
      if (outputs_[place] != name) continue;
      void* memory = nullptr;
      Check(LiteRtLockTensorBuffer(outputs[place], &memory, kLiteRtTensorBufferLockModeRead),
            "reading " + name);
      Check(LiteRtUnlockTensorBuffer(outputs[place]), "reading " + name);
      return static_cast<const Element*>(memory);
    }
    throw std::runtime_error("the signature has no output " + name);
  }

  LiteRtEnvironment environment_ = nullptr;
  LiteRtModel model_ = nullptr;
  LiteRtCompiledModel compiled_ = nullptr;
  LiteRtParamIndex signature_ = 0;
  std::vector<std::string> outputs_, tokens_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " g2p.tflite word...\n";
    return 2;
  }
  try {
    Pronouncer pronouncer(argv[1]);
    for (int number = 2; number < argc; ++number) {
      float score = 0;
      const std::string target = pronouncer.Ask(argv[number], &score);
      std::cout << argv[number] << '\t' << target << '\t' << score << '\n';
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return 0;
}
