/* Answers requests to a SavedModel through TensorFlow's C API, as a model server does: no Python.

   gcc -O1 -o serve serve.c -I$TF/include -L$TF -l:libtensorflow_cc.so.2 \
       -l:libtensorflow_framework.so.2 -Wl,-rpath,$TF          (TF: the folder of the wheel)
   ./serve [-j THREADS] [-b SECONDS] EXPORT/1 OPERATIONS.so... < requests > answers

   A request is one line: the signature, then each input: name, type, rank, sizes, values.
   Types: s, a string, written as x and two hexadecimal digits a byte; i, int32; f, float32.

       greedy source s 1 2 x6162 x63
       ids source_ids i 2 1 3 7 8 3

   An answer has a line of the same form for each output, and an empty line at its end. With -j,
   so many threads ask the one session at once, each of them everything, and must hear the same.
   With -b they then go on asking for so long, and figures are printed in place of the answers. */

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#include "serve_signature.h"

enum { MAX_RANK = 8, MAX_THREADS = 64 };

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
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
  double until;     /* how long to go on asking, when it is measured */
  double *took;     /* the seconds that each answer took */
  size_t num_taken;
} Client;

static double seconds_of(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }

/* What all cores have worked: on a machine with other work to do, this tells more than time. */
static double worked(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

/* Answers a request; gives how many seconds the session took. */
static double answer(char *request, const Server *server, FILE *out) {
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
  double start = now();
  TF_SessionRun(server->session, NULL, inputs, values, given, outputs, results,
                signature.num_outputs, NULL, 0, NULL, status);
  double took = now() - start;
  check(status, "run");
  for (int i = 0; i < signature.num_outputs; i++) {
    print_tensor(out, signature.outputs[i].name, results[i]);
    TF_DeleteTensor(results[i]);
  }
  for (int i = 0; i < given; i++) TF_DeleteTensor(values[i]);
  TF_DeleteStatus(status);
  fprintf(out, "\n");
  return took;
}

/* Asks everything once; gives nothing back but what is in the client. */
static void ask_all(Client *client, FILE *out, int is_measured) {
  char *requests = strdup(client->requests), *rest = requests;
  for (char *line; (line = strsep(&rest, "\n")) && *line;) {
    double took = answer(line, client->server, out);
    if (!is_measured) continue;
    client->took = realloc(client->took, (client->num_taken + 1) * sizeof(double));
    client->took[client->num_taken++] = took;
    if (now() >= client->until) break;
  }
  free(requests);
}

static void *run_client(void *argument) {
  Client *client = argument;
  FILE *out = open_memstream(&client->answers, &client->length);
  ask_all(client, out, 0);
  fclose(out);
  return NULL;
}

static void *measure_client(void *argument) {
  Client *client = argument;
  FILE *out = fopen("/dev/null", "w");
  while (now() < client->until) ask_all(client, out, 1);
  fclose(out);
  return NULL;
}

/* Runs a function for every client at once, and waits for them. */
static void in_threads(void *(*run)(void *), Client *clients, int num_threads) {
  pthread_t threads[MAX_THREADS];
  for (int i = 0; i < num_threads; i++)
    if (pthread_create(&threads[i], NULL, run, &clients[i])) fail("thread", "cannot start");
  for (int i = 0; i < num_threads; i++) pthread_join(threads[i], NULL);
}

static int is_longer(const void *first, const void *second) {
  double a = *(const double *)first, b = *(const double *)second;
  return (a > b) - (a < b);
}

/* Goes on asking for so many seconds, and prints what was measured as JSON. */
static void measure(Client *clients, int num_threads, double seconds) {
  double start = now(), work = worked();
  for (int i = 0; i < num_threads; i++) clients[i].until = start + seconds;
  in_threads(measure_client, clients, num_threads);
  double elapsed = now() - start;
  work = worked() - work;
  size_t count = 0;
  double *took = NULL;
  for (int i = 0; i < num_threads; i++) {
    took = realloc(took, (count + clients[i].num_taken) * sizeof(double));
    memcpy(took + count, clients[i].took, clients[i].num_taken * sizeof(double));
    count += clients[i].num_taken;
    free(clients[i].took);
  }
  qsort(took, count, sizeof(double), is_longer);
  printf("\"answers\": %zu, \"answers_a_second\": %.1f, \"cpu_ms_an_answer\": %.3f, ", count,
         (double)count / elapsed, 1e3 * work / (double)count);
  printf("\"median_ms\": %.3f, \"p95_ms\": %.3f, ", 1e3 * took[count / 2],
         1e3 * took[count * 95 / 100]);
  free(took);
}

/* Gives the memory that is held now, "VmRSS", or was at most, "VmHWM", in MiB. getrusage would
   tell of the process that started this one, too. */
static double memory(const char *name) {
  char line[256];
  double kibibytes = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) kibibytes = atof(line + strlen(name) + 1);
  if (file) fclose(file);
  return kibibytes / 1024;
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
  double seconds = 0;
  for (int option; (option = getopt(argc, argv, "+j:b:")) != -1;) {
    if (option == 'j') num_threads = atoi(optarg);
    else if (option == 'b') seconds = atof(optarg);
    else num_threads = 0;
  }
  if (optind >= argc || num_threads < 1 || num_threads > MAX_THREADS)
    fail("usage", "serve [-j THREADS] [-b SECONDS] EXPORT/1 OPERATIONS.so... < requests");
  const char *path = argv[optind];
  TF_Status *status = TF_NewStatus();
  for (int i = optind + 1; i < argc; i++) {
    TF_LoadLibrary(argv[i], status);
    check(status, argv[i]);
  }
  Server server = {.graph = TF_NewGraph()};
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Buffer *meta = TF_NewBuffer();
  const char *tags[] = {"serve"};
  double empty = memory("VmRSS"), start = now(), work = worked();
  server.session =
      TF_LoadSessionFromSavedModel(options, NULL, path, tags, 1, server.graph, meta, status);
  check(status, path);
  double loaded = now();
  work = worked() - work;
  server.meta_graph = (Bytes){meta->data, (const uint8_t *)meta->data + meta->length};

  char *requests = read_all(stdin);
  Client clients[MAX_THREADS];
  for (int i = 0; i < num_threads; i++)
    clients[i] = (Client){.server = &server, .requests = requests};
  in_threads(run_client, clients, num_threads);
  double first = now();
  for (int i = 0; i < num_threads; i++)
    if (strcmp(clients[i].answers, clients[0].answers)) fail("threads", "heard different answers");
  if (seconds > 0) {
    printf("{\"load_ms\": %.1f, \"load_cpu_ms\": %.1f, \"first_answers_ms\": %.1f, ",
           1e3 * (loaded - start), 1e3 * work, 1e3 * (first - loaded));
    measure(clients, num_threads, seconds);
    printf("\"memory_mb\": %.1f, \"runtime_memory_mb\": %.1f, \"peak_memory_mb\": %.1f}\n",
           memory("VmRSS"), empty, memory("VmHWM"));
  } else {
    fputs(clients[0].answers, stdout);
  }

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
