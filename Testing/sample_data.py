"""Slicer's SampleData as far as a registered sample meets it: sources, address rules, the cache, loading.

After SampleData.py of Slicer 5.13: ``downloadSample`` asks no ``customDownloader``; every address is rewritten before
the cache is looked into; an error that is no ``ValueError`` ends the attempts.
"""

# ruff: noqa: N803 - arguments are named as in Slicer
import types
from pathlib import Path

import slicer

ATTEMPTS = 3


class SampleDataLogic:
    sources: list
    rules: dict
    downloads: list

    @classmethod
    def registerUrlRewriteRule(cls, name, rewriteFunction):
        cls.rules[name] = rewriteFunction

    @classmethod
    def registerCustomSampleDataSource(cls, *, category, **source):
        assert category
        assert {"sampleName", "uris", "fileNames", "nodeNames"} <= set(source)
        cls.sources.append(types.SimpleNamespace(**source))

    def downloadFromSource(self, source):
        for _ in range(ATTEMPTS):
            try:
                path = self.downloadFile(source.uris, source.fileNames)
            except ValueError:
                continue
            return [self.loadNode(path, source.nodeNames)]
        return []

    def downloadFile(self, uri, name):
        for rule in self.rules.values():
            uri = rule(uri)
        path = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory(), name)
        if not path.is_file() or not path.stat().st_size:
            self.downloads.append(uri)
            raise ValueError(f"Failed to download {uri}")
        return path

    def loadNode(self, path, name):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(path))
        assert storage.ReadData(node)
        slicer.mrmlScene.RemoveNode(storage)
        return node

    def downloadSample(self, sampleName):
        source = next(source for source in self.sources if source.sampleName == sampleName)
        return self.downloadFromSource(source)[0]
