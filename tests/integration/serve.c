/* Answers requests to a SavedModel through TensorFlow's C API, as a model server does: no Python.

   gcc -O1 -o serve serve.c -I$TF/include -L$TF -l:libtensorflow_cc.so.2 \
       -l:libtensorflow_framework.so.2 -Wl,-rpath,$TF          (TF: the folder of the wheel)
   ./serve [-j THREADS] EXPORT/1 OPERATIONS.so... < requests > answers

   A request is one line: the signature, then each input: name, type, rank, sizes, values.
   Types: s, a string, written as x and two hexadecimal digits a byte; i, int32; f, float32.

       greedy source s 1 2 x6162 x63
       ids source_ids i 2 1 3 7 8 3

   An answer has a line of the same form for each output, and an empty line at its end. With -j,
   so many threads ask the one session at once, each of them everything, and must hear the same. */

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

enum { MAX_TENSORS = 8, MAX_RANK = 8, MAX_THREADS = 64 };

/* Part of a protocol buffer message, or the value of one field in it. */
typedef struct {
  const uint8_t *at, *end;
} Bytes;

/* A name that clients know, and the tensor of the graph that it stands for. */
typedef struct {
  Bytes name, tensor;
} Binding;

typedef struct {
  Binding inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  int num_inputs, num_outputs;
} Signature;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "serve: %s: %s\n", what, why);
  exit(1);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

/* ---- What a signature is called in the graph: a MetaGraphDef, read by hand. ---- */

static uint64_t read_varint(Bytes *bytes) {
  uint64_t value = 0;
  for (int shift = 0; bytes->at < bytes->end; shift += 7) {
    uint8_t byte = *bytes->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) break;
  }
  return value;
}

/* Goes on to the next field; gives its number, 0 at the end, and its value if it has a length. */
static int next_field(Bytes *message, Bytes *value) {
  if (message->at >= message->end) return 0;
  uint64_t key = read_varint(message);
  uint64_t length = 0;
  switch (key & 7) {
    case 0: read_varint(message); break;
    case 1: length = 8; break;
    case 2: length = read_varint(message); break;
    case 5: length = 4; break;
    default: fail("meta graph", "not a protocol buffer");
  }
  *value = (Bytes){message->at, message->at + length};
  message->at += length;
  return (int)(key >> 3);
}

/* Finds the first field of a number; empty if there is none. */
static Bytes find_field(Bytes message, int number) {
  Bytes value;
  for (int field; (field = next_field(&message, &value));)
    if (field == number) return value;
  return (Bytes){NULL, NULL};
}

static int is_named(Bytes name, const char *text) {
  size_t length = (size_t)(name.end - name.at);
  return length == strlen(text) && memcmp(name.at, text, length) == 0;
}

/* Reads MetaGraphDef.signature_def[name]: field 5, a map; in it inputs are 1, outputs are 2. */
static Signature find_signature(Bytes meta_graph, const char *name) {
  Signature found = {.num_inputs = 0};
  Bytes entry, value;
  for (int field; (field = next_field(&meta_graph, &entry));) {
    if (field != 5 || !is_named(find_field(entry, 1), name)) continue;
    Bytes signature = find_field(entry, 2);
    for (int side; (side = next_field(&signature, &value));) {
      if (side > 2) continue;
      Binding binding = {find_field(value, 1), find_field(find_field(value, 2), 1)};
      if (side == 1) found.inputs[found.num_inputs++] = binding;
      else found.outputs[found.num_outputs++] = binding;
    }
    return found;
  }
  fail("no such signature", name);
  return found;
}

/* Finds "operation:index" in the graph. */
static TF_Output find_tensor(TF_Graph *graph, Bytes tensor) {
  char name[512];
  size_t length = (size_t)(tensor.end - tensor.at);
  if (length >= sizeof name) fail("tensor", "its name is too long");
  memcpy(name, tensor.at, length);
  name[length] = 0;
  char *colon = strrchr(name, ':');
  if (colon) *colon = 0;
  TF_Output output = {TF_GraphOperationByName(graph, name), colon ? atoi(colon + 1) : 0};
  if (!output.oper) fail("no such operation", name);
  return output;
}

/* ---- Tensors as text. ---- */

static const char *next_word(char **rest, const char *what) {
  char *word = strsep(rest, " ");
  if (!word) fail("the request ends before", what);
  return word;
}

static void parse_string(const char *word, TF_TString *string) {
  size_t length = (strlen(word) - 1) / 2;
  char *bytes = malloc(length + 1);
  for (size_t i = 0; i < length; i++) {
    unsigned byte;
    sscanf(word + 1 + 2 * i, "%2x", &byte);
    bytes[i] = (char)byte;
  }
  TF_StringInit(string);
  TF_StringCopy(string, bytes, length);
  free(bytes);
}

static void free_strings(void *data, size_t size, void *unused) {
  (void)unused;
  for (size_t i = 0; i < size / sizeof(TF_TString); i++) TF_StringDealloc((TF_TString *)data + i);
  free(data);
}

static void free_numbers(void *data, size_t size, void *unused) {
  (void)size, (void)unused;
  free(data);
}

static TF_Tensor *parse_tensor(char **rest) {
  char type = next_word(rest, "the type")[0];
  int rank = atoi(next_word(rest, "the rank"));
  if (rank < 0 || rank > MAX_RANK) fail("request", "a tensor of that rank");
  int64_t sizes[MAX_RANK];
  size_t count = 1;
  for (int i = 0; i < rank; i++) {
    sizes[i] = atoll(next_word(rest, "the sizes"));
    count *= (size_t)sizes[i];
  }
  size_t length = count * (type == 's' ? sizeof(TF_TString) : 4);
  void *data = malloc(length + 1);
  for (size_t i = 0; i < count; i++) {
    const char *word = next_word(rest, "the values");
    if (type == 's') parse_string(word, (TF_TString *)data + i);
    else if (type == 'i') ((int32_t *)data)[i] = atoi(word);
    else ((float *)data)[i] = strtof(word, NULL);
  }
  TF_DataType dtype = type == 's' ? TF_STRING : type == 'i' ? TF_INT32 : TF_FLOAT;
  return TF_NewTensor(dtype, sizes, rank, data, length, type == 's' ? free_strings : free_numbers,
                      NULL);
}

static void print_tensor(FILE *out, Bytes name, const TF_Tensor *tensor) {
  TF_DataType dtype = TF_TensorType(tensor);
  int rank = TF_NumDims(tensor);
  int64_t count = 1;
  char type = dtype == TF_STRING ? 's' : dtype == TF_INT32 ? 'i' : 'f';
  fprintf(out, "%.*s %c %d", (int)(name.end - name.at), name.at, type, rank);
  for (int i = 0; i < rank; i++) {
    fprintf(out, " %lld", (long long)TF_Dim(tensor, i));
    count *= TF_Dim(tensor, i);
  }
  const void *data = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; i++) {
    if (dtype == TF_STRING) {
      const TF_TString *string = (const TF_TString *)data + i;
      const char *bytes = TF_StringGetDataPointer(string);
      fprintf(out, " x");
      for (size_t k = 0; k < TF_StringGetSize(string); k++) fprintf(out, "%02x", (uint8_t)bytes[k]);
    } else if (dtype == TF_INT32) {
      fprintf(out, " %d", ((const int32_t *)data)[i]);
    } else {
      fprintf(out, " %.9g", ((const float *)data)[i]);
    }
  }
  fprintf(out, "\n");
}

/* ---- The server. ---- */

typedef struct {
  TF_Session *session;
  TF_Graph *graph;
  Bytes meta_graph;
} Server;

/* All that a client asks, line by line, and all that it hears. */
typedef struct {
  const Server *server;
  const char *requests;
  char *answers;
  size_t length;
} Client;

static void answer(char *request, const Server *server, FILE *out) {
  Signature signature = find_signature(server->meta_graph, next_word(&request, "the signature"));
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *values[MAX_TENSORS], *results[MAX_TENSORS] = {NULL};
  int given = 0;
  while (request) {
    const char *name = next_word(&request, "an input");
    int i = 0;
    while (i < signature.num_inputs && !is_named(signature.inputs[i].name, name)) i++;
    if (i == signature.num_inputs || given == signature.num_inputs) fail("no such input", name);
    inputs[given] = find_tensor(server->graph, signature.inputs[i].tensor);
    values[given++] = parse_tensor(&request);
  }
  for (int i = 0; i < signature.num_outputs; i++)
    outputs[i] = find_tensor(server->graph, signature.outputs[i].tensor);
  TF_Status *status = TF_NewStatus();
  TF_SessionRun(server->session, NULL, inputs, values, given, outputs, results,
                signature.num_outputs, NULL, 0, NULL, status);
  check(status, "run");
  for (int i = 0; i < signature.num_outputs; i++) {
    print_tensor(out, signature.outputs[i].name, results[i]);
    TF_DeleteTensor(results[i]);
  }
  for (int i = 0; i < given; i++) TF_DeleteTensor(values[i]);
  TF_DeleteStatus(status);
  fprintf(out, "\n");
}

static void *run_client(void *argument) {
  Client *client = argument;
  char *requests = strdup(client->requests), *rest = requests;
  FILE *out = open_memstream(&client->answers, &client->length);
  for (char *line; (line = strsep(&rest, "\n")) && *line;) answer(line, client->server, out);
  fclose(out);
  free(requests);
  return NULL;
}

static char *read_all(FILE *in) {
  char *text = NULL, part[1 << 16];
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  for (size_t count; (count = fread(part, 1, sizeof part, in));) fwrite(part, 1, count, out);
  fclose(out);
  return text;
}

int main(int argc, char **argv) {
  int num_threads = 1;
  if (argc > 2 && strcmp(argv[1], "-j") == 0) {
    num_threads = atoi(argv[2]);
    argv += 2, argc -= 2;
  }
  if (argc < 2 || num_threads < 1 || num_threads > MAX_THREADS)
    fail("usage", "serve [-j THREADS] EXPORT/1 OPERATIONS.so... < requests > answers");
  TF_Status *status = TF_NewStatus();
  for (int i = 2; i < argc; i++) {
    TF_LoadLibrary(argv[i], status);
    check(status, argv[i]);
  }
  Server server = {.graph = TF_NewGraph()};
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Buffer *meta = TF_NewBuffer();
  const char *tags[] = {"serve"};
  server.session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, server.graph, meta, status);
  check(status, argv[1]);
  server.meta_graph = (Bytes){meta->data, (const uint8_t *)meta->data + meta->length};

  char *requests = read_all(stdin);
  Client clients[MAX_THREADS];
  pthread_t threads[MAX_THREADS];
  for (int i = 0; i < num_threads; i++) {
    clients[i] = (Client){.server = &server, .requests = requests};
    if (pthread_create(&threads[i], NULL, run_client, &clients[i])) fail("thread", "cannot start");
  }
  for (int i = 0; i < num_threads; i++) {
    pthread_join(threads[i], NULL);
    if (strcmp(clients[i].answers, clients[0].answers)) fail("threads", "heard different answers");
  }
  fputs(clients[0].answers, stdout);

  for (int i = 0; i < num_threads; i++) free(clients[i].answers);
  free(requests);
  TF_CloseSession(server.session, status);
  TF_DeleteSession(server.session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteBuffer(meta);
  TF_DeleteGraph(server.graph);
  TF_DeleteStatus(status);
  return 0;
}
