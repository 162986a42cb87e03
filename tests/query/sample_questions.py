"""Natural questions about the documents in `samples/`, with the expected facts and the places where they stand."""

from __future__ import annotations

from typing import Final, NamedTuple

HANDBOOK: Final = "employee-handbook.pdf"
INCIDENT: Final = "incident-2026-03-14.html"
GUIDE: Final = "onboarding-guide.md"
PLANS: Final = "service-plans.csv"
AGREEMENT: Final = "maintenance-agreement.docx"
PARTS: Final = "spare-parts.xlsx"
ROADMAP: Final = "product-roadmap.pptx"


class SampleQuestion(NamedTuple):
    """A question, the words that its answer must contain, and the file and page that it must cite for them."""

    text: str
    fact: str
    filename: str
    page: int | None = None


PLAIN: Final = (
    SampleQuestion("How many days of paid leave do full-time employees get?", "28 days", HANDBOOK, 2),
    SampleQuestion("How much is paid for a hotel night in Zurich?", "210 euros", HANDBOOK, 3),
    SampleQuestion("When do the fire drills take place?", "in April and in October", HANDBOOK, 4),
    SampleQuestion("How many weeks of parental leave do parents get?", "16 weeks", HANDBOOK, 2),
    SampleQuestion("What are the core hours?", "10:00 to", HANDBOOK, 1),
    SampleQuestion("What happened on 14 March 2026?", "palletising line in hall 2 stopped", INCIDENT),
    SampleQuestion("What was the cause of the incident?", "Coolant had entered the connector", INCIDENT),
    SampleQuestion("Was anybody hurt?", "Nobody was hurt", INCIDENT),
    SampleQuestion("How much does the Plus plan cost?", "540", PLANS),
    SampleQuestion("What is the response time of the Premium plan?", "2 hours", PLANS),
    SampleQuestion("How many robots are included in the Basic plan?", "robots included: 2", PLANS),
    SampleQuestion("How long must the passphrase be?", "at\nleast sixteen characters", GUIDE),
    SampleQuestion("What happens after five wrong recovery codes?", "lock the disk for good", GUIDE),
    SampleQuestion("Where do I get a security key?", "front desk on the second floor", GUIDE),
    SampleQuestion("How long before its end must notice of the maintenance agreement be given?", "60 days", AGREEMENT),
    SampleQuestion("Who signed the maintenance agreement?", "Helena Brandt", AGREEMENT),
    SampleQuestion("How often is the seal of the encoder cable checked?", "12 months", AGREEMENT),
    SampleQuestion("How much does a brake disc cost?", "275", PARTS),
    SampleQuestion("Who is the manager of the warehouse in Lyon?", "Claire Dumas", PARTS),
    SampleQuestion("How many kilograms does the NR-5 lift?", "12 kilograms", ROADMAP, 2),
)
WITH_TYPO: Final = (
    SampleQuestion("How much paid parentel leave do parents get?", "16 weeks", HANDBOOK, 2),
    SampleQuestion("When must I hand in my expences?", "within 30 days", HANDBOOK, 3),
    SampleQuestion("What is the daily rate for meels?", "42 euros", HANDBOOK, 3),
    SampleQuestion("Who is the auther of the incident report?", "Ines Marquardt", INCIDENT),
    SampleQuestion("What is the price of the Premum plan?", "1450", PLANS),
    SampleQuestion("How many encoder cabels are in stock?", "14", PARTS),
    SampleQuestion("What are the opening hours of the werehouse in Gdansk?", "6:00 to 22:00", PARTS),
    SampleQuestion("In which month does hall 4 opne?", "November 2026", ROADMAP, 4),
)
WITH_SYNONYM: Final = (
    SampleQuestion("How many vacation days does a full-time worker receive?", "28 days", HANDBOOK, 2),
    SampleQuestion("On how many days a week may I work from my house?", "three days a week", HANDBOOK, 1),
    SampleQuestion("Which class of train ticket does the firm pay for?", "second class on trains", HANDBOOK, 3),
    SampleQuestion("Why did the palletising line stop?", "encoder fault", INCIDENT),
    SampleQuestion("What is the fee for the Basic plan?", "190", PLANS),
    SampleQuestion("How quickly does the help desk reply?", "within four working hours", GUIDE),
    SampleQuestion("What is the guarantee period of the NR-5?", "three years", ROADMAP, 2),
    SampleQuestion("For how much damage is the company responsible?", "250,000 euros", AGREEMENT),
)
WORDED_AS_FOLLOW_UP: Final = (
    SampleQuestion("And until when do carried over leave days have to be taken?", "end of March", HANDBOOK, 2),
    SampleQuestion("And how much does the teach pendant cost then?", "1190", PARTS),
    SampleQuestion("Ok, and who runs the warehouse in Freiburg?", "Tomasz Wolski", PARTS),
    SampleQuestion("So which customer is the largest one?", "Baltic Foods", ROADMAP, 3),
)
ANSWERABLE: Final = (*PLAIN, *WITH_TYPO, *WITH_SYNONYM, *WORDED_AS_FOLLOW_UP)

UNANSWERABLE: Final = (
    "How much does the Gold plan cost?",
    "What happened on 2 June 2025?",
    "Who is the chief financial officer?",
    "Who is the head of the sales department?",
    "What is the price of the NR-9?",
    "Which bank account do customers pay into?",
    "Who is the manager of the warehouse in Madrid?",
    "What is the dress code in the office?",
    "How much does a torque sensor cost?",
    "What was the revenue of the company in 2025?",
)
# The samples name what these ask about, and not the person, price, time or the like that they ask for.
UNTOLD: Final = (
    "Who repaired the palletising line?",
    "Who is the chairwoman of Baltic Foods?",
    "Who is the managing director of Baltic Foods?",
    "Who leads the people team?",
    "Who built hall 4?",
    "How much does the NR-3 cost?",
    "How much did the incident cost?",
    "What is the salary of a full-time employee?",
    "What is the phone number of the help desk?",
    "What is the email address of Ines Marquardt?",
    "What colour is the beacon of a robot arm?",
    "How long is the onboarding?",
)
