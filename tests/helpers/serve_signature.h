/* What a signature is called in the graph: a MetaGraphDef, read by hand, for serve.c. */

#ifndef SERVE_SIGNATURE_H
#define SERVE_SIGNATURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 8 };

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

#endif
