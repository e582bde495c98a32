// Runs a LiteRT file in C++, without Python: text in, text out.
//
//   g++ -std=c++17 -O1 -o translate translate.cc -L$LITERT -l:libLiteRt.so -Wl,-rpath,$LITERT
//   ./translate g2p.tflite hello world
//
// $LITERT is the folder of the Python package ai_edge_litert, or of any other libLiteRt.so. The
// program runs the signature "ids" (or "greedy_ids"), which has built-in operations only, and reads
// the vocabularies from the file. It supports all tokenizers, and all files of
// keras_s2s.export.litert whose search has a max_length.

#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "../tokenizers/tokenizer.h"
#include "litert_runtime.h"

namespace {

using keras_s2s::Json;
using keras_s2s::JsonReader;
using keras_s2s::Tokenizer;

void Check(LiteRtStatus status, const std::string& what) {
  if (status != 0) throw std::runtime_error(what + ": LiteRT's status " + std::to_string(status));
}

// A loaded file. Members are destroyed in the reverse order of their creation.
class Model {
 public:
  explicit Model(const std::string& path) {
    Check(LiteRtCreateEnvironment(0, nullptr, &environment_), "making the environment");
    Check(LiteRtCreateModelFromFile(environment_, path.c_str(), &model_), "loading " + path);
  }

  ~Model() {
    if (compiled_ != nullptr) LiteRtDestroyCompiledModel(compiled_);
    if (model_ != nullptr) LiteRtDestroyModel(model_);
    if (environment_ != nullptr) LiteRtDestroyEnvironment(environment_);
  }

  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  std::string Metadata(const char* key) const {
    const void* data = nullptr;
    size_t size = 0;
    Check(LiteRtGetModelMetadata(model_, key, &data, &size),
          std::string("not written by keras_s2s: no ") + key);
    return std::string(static_cast<const char*>(data), size);
  }

  // Finds the signature and its outputs, and prepares the model for the CPU.
  void Prepare(const std::string& name) {
    LiteRtParamIndex count = 0;
    LiteRtSignature signature = nullptr;
    const char* found = nullptr;
    Check(LiteRtGetNumModelSignatures(model_, &count), "looking for signatures");
    for (signature_ = 0; signature_ < count; ++signature_) {
      Check(LiteRtGetModelSignature(model_, signature_, &signature), "looking for signatures");
      Check(LiteRtGetSignatureKey(signature, &found), "looking for signatures");
      if (found == name) break;
    }
    if (signature_ == count) throw std::runtime_error("the file has no signature " + name);
    Check(LiteRtGetNumSignatureOutputs(signature, &count), "looking for outputs");
    for (LiteRtParamIndex output = 0; output < count; ++output) {
      Check(LiteRtGetSignatureOutputName(signature, output, &found), "looking for outputs");
      outputs_.push_back(found);
    }
    LiteRtOptions options = nullptr;
    Check(LiteRtCreateOptions(&options), "making options");
    Check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu), "choosing CPU");
    Check(LiteRtCreateCompiledModel(environment_, model_, options, &compiled_), "preparing");
    LiteRtDestroyOptions(options);
  }

  void Resize(int source_length) {
    const int sizes[] = {1, source_length};
    Check(LiteRtCompiledModelResizeInputTensor(compiled_, signature_, 0, sizes, 2), "resizing");
  }

  // Runs the signature. "target_ids" have the sizes (1, num_hypotheses, max_length), all other
  // outputs (1, num_hypotheses). Returns the values of the best hypothesis.
  struct Answer {
    std::vector<int32_t> target_ids;
    float score;
  };

  Answer Run(const std::vector<int32_t>& source_ids, int num_hypotheses, int max_length) {
    LiteRtTensorBuffer input =
        Buffer(kLiteRtElementTypeInt32, {1, static_cast<int>(source_ids.size())});
    void* memory = nullptr;
    Check(LiteRtLockTensorBuffer(input, &memory, kLiteRtTensorBufferLockModeWrite), "writing");
    std::memcpy(memory, source_ids.data(), source_ids.size() * sizeof(int32_t));
    Check(LiteRtUnlockTensorBuffer(input), "writing");
    std::vector<LiteRtTensorBuffer> outputs;
    for (const std::string& name : outputs_) {
      const bool is_int = name == "target_ids" || name == "lengths";
      const int element_type = is_int ? kLiteRtElementTypeInt32 : kLiteRtElementTypeFloat32;
      outputs.push_back(name == "target_ids"
                            ? Buffer(element_type, {1, num_hypotheses, max_length})
                            : Buffer(element_type, {1, num_hypotheses}));
    }
    Check(LiteRtRunCompiledModel(compiled_, signature_, 1, &input, outputs.size(), outputs.data()),
          "running");
    const int32_t length = Read<int32_t>(outputs, "lengths", 1)[0];
    const Answer answer = {Read<int32_t>(outputs, "target_ids", length),
                           Read<float>(outputs, "scores", 1)[0]};
    LiteRtDestroyTensorBuffer(input);
    for (LiteRtTensorBuffer output : outputs) LiteRtDestroyTensorBuffer(output);
    return answer;
  }

 private:
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

  // Returns the first values of an output.
  template <typename Element>
  std::vector<Element> Read(const std::vector<LiteRtTensorBuffer>& outputs,
                            const std::string& name, size_t count) {
    for (size_t place = 0; place < outputs_.size(); ++place) {
      if (outputs_[place] != name) continue;
      void* memory = nullptr;
      Check(LiteRtLockTensorBuffer(outputs[place], &memory, kLiteRtTensorBufferLockModeRead),
            "reading " + name);
      const Element* values = static_cast<const Element*>(memory);
      const std::vector<Element> found(values, values + count);
      Check(LiteRtUnlockTensorBuffer(outputs[place]), "reading " + name);
      return found;
    }
    throw std::runtime_error("the signature has no output " + name);
  }

  LiteRtEnvironment environment_ = nullptr;
  LiteRtModel model_ = nullptr;
  LiteRtCompiledModel compiled_ = nullptr;
  LiteRtParamIndex signature_ = 0;
  std::vector<std::string> outputs_;
};

// A model with its tokenizers and the sizes in its model card.
class Translator {
 public:
  explicit Translator(const std::string& path)
      : model_(path), source_(Side("source")), target_(Side("target")) {
    const Json card = JsonReader::Read(model_.Metadata("model_card.json"));
    const bool is_greedy = !card.At("signatures").Has("ids");
    const Json& search = card.At("search");
    if (search.At("max_length").is_null) {
      throw std::runtime_error(
          "the search of this file has no max_length: only LiteRT's Interpreter can run it");
    }
    max_length_ = static_cast<int>(search.At("max_length").number);
    if (!is_greedy && search.Has("num_hypotheses")) {
      num_hypotheses_ = static_cast<int>(search.At("num_hypotheses").number);
    }
    source_length_ = static_cast<size_t>(card.At("source_length").number);
    model_.Prepare(is_greedy ? "greedy_ids" : "ids");
  }

  // Returns the best target, and its score.
  std::string Translate(const std::string& text, float* score) {
    std::vector<int32_t> source_ids = source_.Tokenize(text);
    if (source_length_ == 0) {
      model_.Resize(static_cast<int>(source_ids.size()));
    } else if (source_ids.size() > source_length_) {
      throw std::runtime_error("the file takes sources of " + std::to_string(source_length_) +
                               " tokens. Received: " + std::to_string(source_ids.size()));
    } else {
      source_ids.resize(source_length_, keras_s2s::kPad);
    }
    const Model::Answer answer = model_.Run(source_ids, num_hypotheses_, max_length_);
    *score = answer.score;
    return target_.Detokenize(answer.target_ids);
  }

 private:
  Tokenizer Side(const std::string& side) const {
    return keras_s2s::ReadTokenizer(model_.Metadata((side + "_vocabulary.json").c_str()),
                                    model_.Metadata("tokenizers.json"), side);
  }

  Model model_;
  Tokenizer source_, target_;
  int num_hypotheses_ = 1, max_length_ = 0;
  size_t source_length_ = 0;  // 0: any
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " g2p.tflite text...\n";
    return 2;
  }
  try {
    Translator translator(argv[1]);
    for (int number = 2; number < argc; ++number) {
      float score = 0;
      const std::string target = translator.Translate(argv[number], &score);
      std::cout << argv[number] << '\t' << target << '\t' << score << '\n';
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return 0;
}
