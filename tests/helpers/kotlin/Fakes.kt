// Stand-ins for the classes of Android and LiteRT that docs/how-to/mobile.md uses, with the names and
// parameters of the real ones. The "model" answers a source with the same ids.
package com.google.ai.edge.litert

import android.content.res.AssetManager

class TensorBuffer internal constructor() : AutoCloseable {
  private var values = IntArray(0)

  fun writeInt(data: IntArray) {
    values = data
  }

  fun readInt(): IntArray = values

  override fun close() {}
}

class CompiledModel private constructor() : AutoCloseable {
  class Options

  fun createInputBuffer(inputName: String, signature: String? = null) = TensorBuffer()

  fun createOutputBuffer(outputName: String, signature: String? = null) = TensorBuffer()

  fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signature: String): Unit = TODO()

  fun run(
    inputs: Map<String, TensorBuffer>,
    outputs: Map<String, TensorBuffer>,
    signature: String? = null,
  ) {
    check(signature == "ids")
    val ids = inputs.getValue("source_ids").readInt()
    println(ids.joinToString(" "))
    outputs.getValue("target_ids").writeInt(ids)
    outputs.getValue("lengths").writeInt(intArrayOf(ids.indexOf(3) + 1))
  }

  override fun close() {}

  companion object {
    fun create(
      assetManager: AssetManager,
      assetName: String,
      options: Options = Options(),
    ): CompiledModel = CompiledModel()
  }
}
