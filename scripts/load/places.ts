/** What the communities of one country look like. */
export type Place = {
  countryCode: string;
  currencyCode: string;
  timeZone: string;
  locale: string;
  /** What the ideal parts of a community's units sum to there. */
  idealPartsTotal: number;
  cities: string[];
  /** What communities are called; each gets a number besides. */
  communityNames: string[];
  givenNames: string[];
  familyNames: string[];
  companyNames: string[];
  /** How a flat's rooms are told: 2BHK, 3+1. */
  layouts: string[];
  buildingName: string;
  phonePrefix: string;
};

/** Countries whose names, scripts, currencies and zones differ, so that nothing made of them looks like one market. */
export const places: Place[] = [
  {
    countryCode: 'BG',
    currencyCode: 'EUR',
    timeZone: 'Europe/Sofia',
    locale: 'bg',
    idealPartsTotal: 100,
    cities: ['София', 'Пловдив', 'Варна', 'Бургас', 'Русе'],
    communityNames: ['Липите', 'Витоша парк', 'Изгрев', 'Свежест', 'Морска градина', 'Яворов'],
    givenNames: ['Иван', 'Мария', 'Георги', 'Елена', 'Димитър', 'Анна', 'Петър', 'Десислава', 'Николай', 'Ралица', 'Стефан', 'Теодора'],
    familyNames: ['Колеви', 'Стоеви', 'Димови', 'Ангелови', 'Маринови', 'Бончеви', 'Райкови', 'Христови', 'Попови', 'Василеви'],
    companyNames: ['Билянини ООД', 'Инвест Дом ЕООД', 'Планета Строй АД', 'Зорница 7 ООД'],
    layouts: ['1+1', '2+1', '3+1'],
    buildingName: 'Блок',
    phonePrefix: '+359 88',
  },
  {
    countryCode: 'MX',
    currencyCode: 'MXN',
    timeZone: 'America/Mexico_City',
    locale: 'es-MX',
    idealPartsTotal: 100,
    cities: ['Querétaro', 'Guadalajara', 'Monterrey', 'Puebla', 'Mérida'],
    communityNames: ['Los Encinos', 'Bosque Real', 'Jardines del Lago', 'Altavista', 'Las Jacarandas', 'Puerta del Sol'],
    givenNames: ['José', 'María', 'Lucía', 'Jorge', 'Rosa', 'Andrés', 'Sofía', 'Miguel', 'Ximena', 'Raúl', 'Íñigo', 'Begoña'],
    familyNames: ['Hernández', 'Martínez Díaz', 'Ramírez', 'Núñez', 'Ortega', 'Peña', 'Cárdenas', 'Villaseñor', 'Ibáñez', 'Zúñiga'],
    companyNames: ['Abarrotes Lupita S.A. de C.V.', 'Inmobiliaria del Bajío S.A. de C.V.', 'Casa y Tierra S.C.'],
    layouts: ['1 recámara', '2 recámaras', '3 recámaras'],
    buildingName: 'Torre',
    phonePrefix: '+52 442',
  },
  {
    countryCode: 'IN',
    currencyCode: 'INR',
    timeZone: 'Asia/Kolkata',
    locale: 'hi',
    idealPartsTotal: 10000,
    cities: ['पुणे', 'दिल्ली', 'जयपुर', 'भोपाल', 'लखनऊ'],
    communityNames: ['सूर्योदय', 'Green Meadows', 'शांति निकेतन', 'Lake View', 'गंगा विहार'],
    givenNames: ['आरव', 'प्रिया', 'रोहन', 'अनन्या', 'विक्रम', 'दिया', 'संजय', 'Kavita', 'Arjun', 'मीरा'],
    familyNames: ['शर्मा', 'Patel', 'वर्मा', 'Iyer', 'गुप्ता', 'Nair', 'सिंह', 'Desai', 'जोशी'],
    companyNames: ['Surya Traders Pvt Ltd', 'Metro Realty LLP', 'आशा उद्योग'],
    layouts: ['1BHK', '2BHK', '3BHK', '4BHK'],
    buildingName: 'Tower',
    phonePrefix: '+91 20',
  },
  {
    countryCode: 'TH',
    currencyCode: 'THB',
    timeZone: 'Asia/Bangkok',
    locale: 'th',
    idealPartsTotal: 10000,
    cities: ['กรุงเทพมหานคร', 'เชียงใหม่', 'ภูเก็ต', 'ขอนแก่น'],
    communityNames: ['บ้านสวน', 'ริเวอร์ไซด์', 'The Orchid', 'สุขุมวิทเพลส', 'ทะเลใส'],
    givenNames: ['สมชาย', 'สุดา', 'ณัฐ', 'พิมพ์', 'อนันต์', 'กมล', 'วิชัย', 'มาลี', 'ธนา'],
    familyNames: ['ใจดี', 'ศรีสุข', 'วงศ์ไทย', 'แสงทอง', 'บุญมา', 'ทองคำ', 'รักไทย'],
    companyNames: ['บริษัท สยามพร็อพ จำกัด', 'Andaman Holdings Co., Ltd.'],
    layouts: ['Studio', '1BR', '2BR'],
    buildingName: 'อาคาร',
    phonePrefix: '+66 2',
  },
  {
    countryCode: 'IE',
    currencyCode: 'EUR',
    timeZone: 'Europe/Dublin',
    locale: 'en',
    idealPartsTotal: 1000,
    cities: ['Dublin', 'Cork', 'Galway', 'Limerick'],
    communityNames: ['Harbour Quay', 'Ashgrove', 'Millbrook', 'The Old Mill', 'St. Brigid’s Court'],
    givenNames: ['Aoife', 'Seán', 'Niamh', 'Conor', 'Ciara', 'Eoin', 'Grace', 'Patrick', 'Zoë', 'Tomasz'],
    familyNames: ['O’Brien', 'Murphy', 'Walsh', 'Byrne', 'Ní Dhomhnaill', 'Fitzgerald', 'Kowalski', 'Doyle'],
    companyNames: ['Liffey Lettings Ltd', 'Ashgrove Developments DAC'],
    layouts: ['1 bed', '2 bed', '3 bed'],
    buildingName: 'Block',
    phonePrefix: '+353 1',
  },
];
