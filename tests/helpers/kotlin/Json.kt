package org.json

class JSONArray(json: String) {
  private val texts = Regex("\"([^\"]*)\"").findAll(json).map { it.groupValues[1] }.toList()

  fun length(): Int = texts.size

  fun getString(index: Int): String = texts[index]
}
