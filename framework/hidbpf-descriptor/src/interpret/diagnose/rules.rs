//! The rules: what each finds, what a user notices, and where it is written.

use serde::Serialize;

/// A kind of defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Rule {
    /// Its id, which is also its heading in the documentation.
    pub id: &'static str,
    /// What a user notices.
    pub effect: &'static str,
    /// The section of the specification, or the function of the kernel.
    pub source: &'static str,
    /// What a user notices after the repair. Empty if the finding never has one.
    pub after: &'static str,
    /// Whether it has no effect on Linux.
    pub harmless: bool,
}

macro_rules! rules {
    ($($name:ident = $id:literal, $effect:literal $(=> $after:literal)?, $source:literal $(, $harmless:ident)?;)*) => {
        $(pub(super) const $name: Rule = Rule {
            id: $id,
            effect: $effect,
            source: $source,
            after: concat!($($after)?),
            harmless: rules!(@ $($harmless)?),
        };)*

        /// All rules.
        pub const RULES: &[Rule] = &[$($name),*];
    };
    (@ harmless) => { true };
    (@) => { false };
}

rules! {
    REFUSED = "refused",
        "The device does nothing at all: no kernel driver is bound."
            => "The kernel accepts the descriptor, and the device works.",
        "hid_open_report() in drivers/hid/hid-core.c";
    NOT_ENDED = "collection-not-ended",
        "The device does nothing at all: the kernel refuses the descriptor."
            => "The kernel accepts the descriptor, and the device works.",
        "HID 1.11, section 6.2.2.6; hid_open_report() in drivers/hid/hid-core.c";
    ENDED_TWICE = "collection-ended-twice",
        "The device does nothing at all: the kernel refuses the descriptor."
            => "The kernel accepts the descriptor, and the device works.",
        "HID 1.11, section 6.2.2.6; close_collection() in drivers/hid/hid-core.c";
    CUT_OFF = "cut-off",
        "The device does nothing at all: the kernel refuses the descriptor."
            => "The kernel accepts the descriptor, and the device works.",
        "HID 1.11, section 6.2.2.2; fetch_item() in drivers/hid/hid-core.c";
    PASSED_OVER = "passed-over",
        "The item has no effect."
            => "The descriptor declares as many usages as the kernel reads.",
        "hid_parser_local(), hid_parser_main() and hid_register_field() in drivers/hid/hid-core.c";
    WITHOUT_ID = "report-without-id",
        "The fields before the first Report ID never send anything.",
        "HID 1.11, section 6.2.2.7; hid_get_report() in drivers/hid/hid-core.c";
    BIT_ARRAY = "array-of-bits",
        "Only the first two keys of the field can ever be pressed."
            => "Each bit of the field is a key.",
        "HID 1.11, section 6.2.2.5; hid_array_value_is_valid() in drivers/hid/hid-core.c";
    ARRAY_RANGE = "array-range-too-small",
        "The keys after the first few are dropped."
            => "All keys of the field work.",
        "HID 1.11, section 6.2.2.5; hid_array_value_is_valid() in drivers/hid/hid-core.c";
    ARRAY_SHIFTED = "array-shifted",
        "Each key types the next one."
            => "Each key types its own character.",
        "HID 1.11, section 6.2.2.5; hid_input_array_field() in drivers/hid/hid-core.c";
    ARRAY_FEW = "array-usages-too-few",
        "The keys with the highest numbers are dropped."
            => "The keys with the highest numbers work.",
        "HID 1.11, section 6.2.2.8; hid_input_array_field() in drivers/hid/hid-core.c";
    USAGES_REPEAT = "usages-repeat",
        "The last buttons do nothing, or act as the one before them."
            => "Each button has a number of its own.",
        "HID 1.11, section 6.2.2.8; hid_add_field() in drivers/hid/hid-core.c";
    USAGE_TWICE = "usage-twice",
        "Two keys act as one, and buttons and axes get other numbers."
            => "Each axis has a number of its own.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    CONSTANT = "constant-with-usages",
        "The controls of the field do nothing."
            => "The controls of the field work.",
        "HID 1.11, section 6.2.2.5; hidinput_configure_usage() in drivers/hid/hid-input.c";
    OUT_OF_REACH = "range-beyond-bits",
        "The axis never reaches its end."
            => "The axis reaches its end.",
        "HID 1.11, section 6.2.2.7";
    NO_RANGE = "range-empty",
        "Programs don't know the range of the axis, and may ignore it.",
        "HID 1.11, section 6.2.2.7; hidinput_configure_usage() in drivers/hid/hid-input.c";
    MAXIMUM_SIGN = "maximum-sign",
        "None on Linux. Other systems read a negative maximum."
            => "All systems read the same maximum.",
        "HID 1.11, section 6.2.2.7; hid_parser_global() in drivers/hid/hid-core.c", harmless;
    NEGATIVE = "maximum-negative",
        "The axis never reaches its upper half, or the wheel turns one way."
            => "The axis or wheel moves in both directions.",
        "HID 1.11, section 6.2.2.7; hid_parser_global() in drivers/hid/hid-core.c";
    EXCHANGED = "logical-range-exchanged",
        "The pointer or axis jumps, or does not move."
            => "The pointer or axis follows the control.",
        "HID 1.11, section 6.2.2.7; hid_add_field() in drivers/hid/hid-core.c";
    ARRAY_EMPTY = "array-without-usages",
        "The keys of the field do nothing."
            => "The keys of the field work.",
        "HID 1.11, section 6.2.2.8; hid_add_field() in drivers/hid/hid-core.c";
    RANGE_END = "usage-range-without-end",
        "The controls of the field do nothing."
            => "The controls of the field work.",
        "HID 1.11, section 6.2.2.8; hid_parser_local() in drivers/hid/hid-core.c";
    NO_APPLICATION = "application-missing",
        "The controls do nothing, or belong to another device."
            => "Linux knows what the device is.",
        "HID 1.11, section 6.2.2.6; hidinput_connect() in drivers/hid/hid-input.c";
    NO_BITS = "field-without-bits",
        "The controls of the field do nothing.",
        "HID 1.11, section 6.2.2.7; hid_add_field() in drivers/hid/hid-core.c";
    NO_PADDING = "padding-missing",
        "The pointer moves at random, and buttons act as movements."
            => "The pointer and the buttons work.",
        "HID 1.11, section 6.2.2.9; hid_add_field() in drivers/hid/hid-core.c";
    LEDS = "leds-are-buttons",
        "The buttons of the field do nothing."
            => "The buttons of the field work.",
        "HID Usage Tables 1.5, section 11 (LED Page); hidinput_configure_usage() in drivers/hid/hid-input.c";
    REMOTE_PAGE = "consumer-keys-ignored",
        "The media keys do nothing."
            => "The media keys work.",
        "HID Usage Tables 1.5, section 15 (Consumer Page); hidinput_configure_usage() in drivers/hid/hid-input.c";
    SYSTEM_AXES = "system-keys-are-axes",
        "Games see a controller that is not there: the keyboard has the axes of a stick."
            => "Games find no controller in the keyboard.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    RESTS = "axis-rests-at-end",
        "Games see a stick that is held to a side.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    IGNORED = "report-of-vendor",
        "The keys that send these reports do nothing.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    HAT = "hat-positions",
        "The hat does nothing, or points in wrong directions."
            => "The hat points in all eight directions.",
        "hidinput_hid_event() in drivers/hid/hid-input.c";
    ONE_WAY = "relative-one-way",
        "The pointer or wheel moves in one direction only, or jumps."
            => "The pointer, wheel or axis moves in both directions.",
        "HID 1.11, section 6.2.2.7; hid_input_fetch_field() in drivers/hid/hid-core.c";
    CONTROLLER = "relative-controller",
        "While the knob is held, nothing is sent. Programs see movements instead of positions."
            => "Programs see the positions of the axes.",
        "HID 1.11, section 6.2.2.5; HID Usage Tables 1.5, section 4.1 (Multi-axis Controller)";
    WHEEL = "slider-for-wheel",
        "The wheel does not scroll."
            => "The wheel scrolls.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    VENDOR_KEYS = "vendor-field-is-key",
        "Keys are reported that were not pressed: the microphone is muted, or the screen's brightness changes."
            => "The vendor's reports are no keys.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    VENDOR_AXIS = "vendor-field-is-axis",
        "The controller has an axis that nothing moves."
            => "The controller has only the axes that it has.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    TWO_MICE = "two-of-a-kind",
        "Linux takes two devices for one, and mixes their fields.",
        "hidinput_connect() in drivers/hid/hid-input.c";
    PAD_KEYBOARD = "pad-is-keyboard",
        "The buttons of the tablet type letters or shortcuts.",
        "HID Usage Tables 1.5, section 16.1 (Tablet Function Keys)";
    SECOND_TIP = "second-tip",
        "A button of the pen draws."
            => "The pen's second button is a button.",
        "HID Usage Tables 1.5, section 16.3 (Secondary Barrel Switch); hidinput_configure_usage() in drivers/hid/hid-input.c";
    ERASER = "eraser-for-button",
        "The second button of the pen erases, or makes the pen leave and come back."
            => "The pen's second button is a button.",
        "HID Usage Tables 1.5, section 16.3 (Secondary Barrel Switch); hidinput_hid_event() in drivers/hid/hid-input.c";
    NO_RANGE_SWITCH = "pen-without-in-range",
        "Programs don't see the pen until it touches.",
        "HID Usage Tables 1.5, section 16.3 (In Range); hidinput_configure_usage() in drivers/hid/hid-input.c";
    NO_SIZE = "size-missing",
        "The size of the tablet is unknown: drawings are distorted, and gestures have the wrong speed."
            => "The tablet has its size.",
        "HID 1.11, section 6.2.2.7; hidinput_calc_abs_res() in drivers/hid/hid-input.c";
    ODD_SIZE = "size-absurd",
        "The size of the tablet is wrong: drawings are distorted, and gestures have the wrong speed.",
        "HID 1.11, section 6.2.2.7; hidinput_calc_abs_res() in drivers/hid/hid-input.c";
    TILT = "tilt-without-unit",
        "The pen seems more or less tilted than it is.",
        "hidinput_calc_abs_res() in drivers/hid/hid-input.c";
    PADDING_CHANGES = "padding-changes",
        "A control does nothing: its bits are declared as padding."
            => "The further buttons work.",
        "HID 1.11, section 6.2.2.9";
    VALUE_RANGE = "value-out-of-range",
        "The kernel drops the value, or the axis jumps.",
        "HID 1.11, section 6.2.2.5; hidinput_hid_event() in drivers/hid/hid-input.c";
    NO_SIGN = "sign-not-extended",
        "When the axis passes its middle, it jumps to the other end.",
        "HID 1.11, section 6.2.2.7; snto32() in drivers/hid/hid-core.c";
    UNDECLARED = "report-undeclared",
        "The report is lost.",
        "hid_report_raw_event() in drivers/hid/hid-core.c";
    SHORT = "report-short",
        "Linux 7.0 and later may drop the report: the device seems dead.",
        "hid_report_raw_event() in drivers/hid/hid-core.c";
    LONG = "report-long",
        "The bytes after the declared ones are lost.",
        "hid_report_raw_event() in drivers/hid/hid-core.c";
    HAT_VALUES = "hat-values",
        "The hat does nothing, or points up only.",
        "hidinput_hid_event() in drivers/hid/hid-input.c";
    NOT_LIFTED = "contact-not-lifted",
        "A finger stays behind: the pointer jumps, or a scroll does not end.",
        "HID Usage Tables 1.5, section 16.4 (Tip Switch)";
    REVERSED = "usage-range-reversed",
        "Keys or buttons have the numbers of others."
            => "Keys and buttons have their own numbers.",
        "HID 1.11, section 6.2.2.8; hid_parser_local() in drivers/hid/hid-core.c";
    PHYSICAL = "usages-for-physical-range",
        "The wheel or axis does nothing, and other controls get its place."
            => "The wheel or axis works.",
        "HID 1.11, sections 6.2.2.7 and 6.2.2.8; hid_parser_local() in drivers/hid/hid-core.c";
    ARRAY_WIDE = "array-value-too-wide",
        "Keys after the first do nothing."
            => "All keys of the field work.",
        "HID 1.11, section 6.2.2.7; hid_field_extract() in drivers/hid/hid-core.c";
    BUTTON_PAGE = "consumer-keys-are-buttons",
        "The media keys do nothing, or act as buttons."
            => "The media keys work.",
        "HID Usage Tables 1.5, section 15 (Consumer Page); hidinput_configure_usage() in drivers/hid/hid-input.c";
    CONTACT_LOST = "contact-lost",
        "A finger stays behind: the pointer jumps, or a scroll does not end.",
        "HID Usage Tables 1.5, section 16.4 (Tip Switch); mt_sync_frame() in drivers/hid/hid-multitouch.c";
    UNUSED = "application-unused",
        "Programs find a device that does nothing: games show a controller that is not there."
            => "Programs find only the devices that there are.",
        "hidinput_connect() in drivers/hid/hid-input.c";
    STILL = "axis-still",
        "Games see an axis that nothing moves, or a stick that is held to a side.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    WRAPS = "axis-wraps",
        "The axis jumps from one end to the other.",
        "HID 1.11, section 6.2.2.5 (Wrap)";
    POSITION = "position-relative",
        "Programs see movements instead of positions.",
        "HID 1.11, section 6.2.2.5 (Relative)";
    MOVEMENT = "movement-absolute",
        "The pointer jumps to places, or does not move."
            => "The pointer or wheel moves.",
        "HID 1.11, section 6.2.2.5 (Relative)";
    CODES = "keys-variable",
        "All keys act as the first few."
            => "Each key types its own character.",
        "HID 1.11, section 6.2.2.5 (Variable); hid_input_var_field() in drivers/hid/hid-core.c";
    DIRECTIONS = "directions-are-axes",
        "Games take the direction pad for a stick.",
        "hidinput_configure_usage() in drivers/hid/hid-input.c";
    KEY_RANGE = "array-value-out-of-range",
        "The key is dropped.",
        "hid_array_value_is_valid() in drivers/hid/hid-core.c";
}
