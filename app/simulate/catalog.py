"""What the simulated hospitals stock: implants in sizes, commodities in boxes, drugs; and what procedures consume."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.records import Criticality, UnitConversion


class Family(StrEnum):
    IMPLANT = "IMPLANT"
    COMMODITY = "COMMODITY"
    DRUG = "DRUG"


@dataclass(frozen=True, slots=True)
class Product:
    """A line of the catalog. ``cost`` is the range of the standard cost per base unit; one item is made per variant."""

    name: str
    family: Family
    variants: tuple[str, ...]
    base_uom: str
    conversions: tuple[UnitConversion, ...]
    cost: tuple[float, float]
    criticality: Criticality


def _box(of: int, case: int | None = None) -> tuple[UnitConversion, ...]:
    """X12 codes: BX a box of ``of``, CA a case of ``case`` base units."""
    box = UnitConversion("BX", of)
    return (box,) if case is None else (box, UnitConversion("CA", case))


_HALF_PAIR = UnitConversion("EA", 1, 2)
_SIZES = ("size 1", "size 2", "size 3", "size 4")
_VITAL, _ESSENTIAL, _DESIRABLE = Criticality.VITAL, Criticality.ESSENTIAL, Criticality.DESIRABLE


def _implant(name: str, low: float, high: float) -> Product:
    return Product(name, Family.IMPLANT, _SIZES, "EA", (), (low, high), _VITAL)


def _commodity(name: str, variants: tuple[str, ...], of: int, cost: tuple[float, float], ved: Criticality) -> Product:
    return Product(name, Family.COMMODITY, variants, "EA", _box(of, of * 10), cost, ved)


def _drug(name: str, strengths: tuple[str, ...], of: int, cost: tuple[float, float], ved: Criticality) -> Product:
    return Product(name, Family.DRUG, strengths, "EA", _box(of), cost, ved)


PRODUCTS = (
    _implant("Hip stem, cementless", 900, 1600),
    _implant("Acetabular cup", 500, 900),
    _implant("Femoral head, ceramic", 300, 600),
    _implant("Tibial tray", 700, 1200),
    _implant("Polyethylene insert", 250, 480),
    _implant("Drug-eluting stent", 400, 950),
    _implant("Pacemaker, dual chamber", 2200, 3900),
    _implant("Locking plate, distal radius", 320, 700),
    _commodity("Syringe", ("5 ml", "10 ml", "20 ml"), 100, (0.05, 0.3), _ESSENTIAL),
    _commodity("Infusion set", ("gravity", "pump"), 50, (1.1, 4.5), _ESSENTIAL),
    _commodity("Peripheral IV catheter", ("18 G", "20 G", "22 G"), 50, (0.8, 2.2), _VITAL),
    _commodity("Gauze swab, sterile", ("5 x 5 cm", "10 x 10 cm"), 25, (0.1, 0.4), _DESIRABLE),
    _commodity("Suture, absorbable", ("2-0", "3-0", "4-0"), 36, (2.5, 6.0), _ESSENTIAL),
    _commodity("Surgical drape", ("small", "large"), 20, (4.0, 11.0), _ESSENTIAL),
    _commodity("Bone cement", ("40 g",), 10, (45.0, 95.0), _VITAL),
    _commodity("Skin stapler", ("35 wide",), 6, (9.0, 19.0), _ESSENTIAL),
    _commodity("Urinary catheter", ("14 Ch", "16 Ch"), 10, (1.5, 5.0), _ESSENTIAL),
    _commodity("Wound dressing", ("10 x 12 cm", "15 x 20 cm"), 30, (1.0, 3.5), _DESIRABLE),
    Product(
        "Surgical gloves, sterile",
        Family.COMMODITY,
        ("6.5", "7.0", "7.5", "8.0"),
        "PR",
        (*_box(50), _HALF_PAIR),
        (0.6, 1.4),
        _ESSENTIAL,
    ),
    _drug("Cefazolin vial", ("1 g", "2 g"), 10, (1.8, 4.0), _VITAL),
    _drug("Heparin ampoule", ("5000 IU", "25000 IU"), 10, (1.2, 3.6), _VITAL),
    _drug("Propofol ampoule", ("200 mg", "500 mg"), 5, (2.0, 6.5), _VITAL),
    _drug("Noradrenaline ampoule", ("4 mg",), 10, (1.0, 2.8), _VITAL),
    _drug("Paracetamol infusion", ("1 g",), 12, (0.9, 2.0), _ESSENTIAL),
    _drug("Ondansetron ampoule", ("4 mg", "8 mg"), 5, (0.6, 1.9), _DESIRABLE),
    _drug("Insulin lispro vial", ("100 IU/ml",), 5, (12.0, 24.0), _VITAL),
    _drug("Ketamine vial", ("500 mg",), 5, (3.0, 7.0), _ESSENTIAL),
    _drug("Sodium chloride 0.9 %", ("500 ml", "1000 ml"), 10, (0.7, 1.6), _VITAL),
)


@dataclass(frozen=True, slots=True)
class Procedure:
    """What one operation consumes: products by name, any variant that is at hand, with the quantity in base units."""

    name: str
    consumes: tuple[tuple[str, int], ...]


PROCEDURES = (
    Procedure(
        "Total hip arthroplasty",
        (
            ("Hip stem, cementless", 1),
            ("Acetabular cup", 1),
            ("Femoral head, ceramic", 1),
            ("Surgical drape", 2),
            ("Surgical gloves, sterile", 4),
            ("Suture, absorbable", 3),
        ),
    ),
    Procedure(
        "Total knee arthroplasty",
        (
            ("Tibial tray", 1),
            ("Polyethylene insert", 1),
            ("Bone cement", 2),
            ("Surgical drape", 2),
            ("Surgical gloves, sterile", 4),
            ("Skin stapler", 1),
        ),
    ),
    Procedure(
        "Coronary intervention",
        (("Drug-eluting stent", 2), ("Surgical drape", 1), ("Surgical gloves, sterile", 3), ("Syringe", 4)),
    ),
    Procedure(
        "Pacemaker implantation",
        (("Pacemaker, dual chamber", 1), ("Suture, absorbable", 2), ("Surgical gloves, sterile", 3)),
    ),
    Procedure(
        "Distal radius fixation",
        (("Locking plate, distal radius", 1), ("Surgical drape", 1), ("Wound dressing", 2), ("Suture, absorbable", 2)),
    ),
)
