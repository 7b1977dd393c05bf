"""Drawing: boxes, maps of Ghost modules, embeddings and confusion as figures of matplotlib."""
