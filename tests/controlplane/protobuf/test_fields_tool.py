"""The tool that writes the table of fields."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[3] / "tools/protobuf_fields.py"
PROTO = """
package k8s.io.api.zoo.v1;

message Cage {
  // optional string commented = 9;
  optional .k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta metadata = 1;
  optional string keeper = 2;
  optional int32 places = 3;
  repeated Animal animals = 4;
  map<string, Animal> byName = 5;
  optional Lock lockSource = 6;
}

message Animal {
}
"""
GO = """
type Cage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"`
	Keeper string `json:"keeperName,omitempty" patchStrategy:"merge" protobuf:"bytes,2,opt,name=keeper"`
	Places *int32 `json:"places,omitempty" protobuf:"varint,3,opt,name=places"`
	Animals []Animal `json:"animals,omitempty" protobuf:"bytes,4,rep,name=animals"`
	LockSource `json:",inline" protobuf:"bytes,6,opt,name=lockSource"`
}
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("protobuf_fields", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "protobuf_fields", module)
    spec.loader.exec_module(module)
    return module


def test_fields_come_from_proto_files_and_go_types(tool: ModuleType, tmp_path: Path) -> None:
    package = tmp_path / "zoo/v1"
    package.mkdir(parents=True)
    (package / "generated.proto").write_text(PROTO)
    (package / "types.go").write_text(GO)
    messages = tool.read_checkout(tmp_path)
    assert [str(field) for field in messages["io.k8s.api.zoo.v1.Cage"]] == [
        "1 metadata io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "2 keeperName string?",
        "3 places int32",
        "4 animals []io.k8s.api.zoo.v1.Animal",
        "5 byName {}io.k8s.api.zoo.v1.Animal",
        "6 lockSource +io.k8s.api.zoo.v1.Lock",
    ]
    assert messages["io.k8s.api.zoo.v1.Animal"] == []
